// What the device was asked to do, counted. counting.py reads it.
#pragma once

extern "C" {
extern unsigned long cpu_launches, cpu_copies_in, cpu_copies_out, cpu_copies_within, cpu_waits;
extern int cpu_devices;                   // how many GPUs there are
extern void (*cpu_heard)(const char*);    // called with the name of each event, unless null
}

inline void event(const char* name) {
  if (cpu_heard) cpu_heard(name);
}
