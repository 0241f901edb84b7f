// Barriers, and what the lanes of a warp hand each other. Masks are checked.
#pragma once

inline void __syncthreads() { cpu::pause(cpu::AT_BLOCK_BARRIER); }
inline int __syncthreads_or(int v) {
  cpu::votes.any |= !!v;
  __syncthreads();
  return cpu::voted.any;
}
inline int __syncthreads_and(int v) {
  cpu::votes.all &= !!v;
  __syncthreads();
  return cpu::voted.all;
}
inline int __syncthreads_count(int v) {
  cpu::votes.count += !!v;
  __syncthreads();
  return cpu::voted.count;
}
inline void __threadfence() {}  // one thread runs at a time: what is written is seen
inline void __threadfence_block() {}

namespace cpu {

inline int lane() { return (current - fibers.data()) & 31; }

// Each lane of the mask gives v; returned is what lane `from` gave, or v where there is none.
template <class T> inline T exchange(unsigned mask, T v, int from) {
  static_assert(sizeof(T) <= sizeof(Slot));
  int me = current - fibers.data(), first = me & ~31;
  if (!(mask >> (me - first) & 1)) fail("a warp function with a mask that leaves its caller out");
  memcpy(warp_in[me].value, &v, sizeof(T));
  current->mask = mask;
  pause(AT_WARP_BARRIER);
  if (from < 0 || from > 31 || first + from >= threads) return v;
  if (!(mask >> from & 1)) fail("a shuffle from a lane outside its mask");
  T given;
  memcpy(&given, warp_out[first + from].value, sizeof(T));
  return given;
}

}  // namespace cpu

inline void __syncwarp(unsigned mask = 0xffffffffu) { cpu::exchange(mask, 0, cpu::lane()); }
template <class T> inline T __shfl_sync(unsigned mask, T v, int from, int width = 32) {
  return cpu::exchange(mask, v, (cpu::lane() & ~(width - 1)) + (from & (width - 1)));
}
template <class T> inline T __shfl_xor_sync(unsigned mask, T v, int bits, int width = 32) {
  int me = cpu::lane(), from = me ^ bits;
  return cpu::exchange(mask, v, (from & ~(width - 1)) > (me & ~(width - 1)) ? me : from);
}
template <class T> inline T __shfl_down_sync(unsigned mask, T v, unsigned by, int width = 32) {
  int me = cpu::lane(), from = me + (int)by;
  return cpu::exchange(mask, v, (from & ~(width - 1)) == (me & ~(width - 1)) ? from : me);
}
template <class T> inline T __shfl_up_sync(unsigned mask, T v, unsigned by, int width = 32) {
  int me = cpu::lane(), from = me - (int)by;
  return cpu::exchange(mask, v, from >= (me & ~(width - 1)) ? from : me);
}
inline unsigned __ballot_sync(unsigned mask, int yes) {
  int first = (cpu::current - cpu::fibers.data()) & ~31, mine = !!yes;
  cpu::exchange(mask, mine, cpu::lane());
  unsigned result = 0;
  for (int i = 0; i < 32 && first + i < cpu::threads; i++) {
    int given;
    memcpy(&given, cpu::warp_out[first + i].value, sizeof given);
    if (mask >> i & 1) result |= (unsigned)given << i;
  }
  return result;
}
inline int __any_sync(unsigned mask, int yes) { return __ballot_sync(mask, yes) != 0; }
inline int __all_sync(unsigned mask, int yes) { return __ballot_sync(mask, !yes) == 0; }
inline unsigned __activemask() { return 0xffffffffu; }
