// The threads of a block as fibers: each runs until it waits at a barrier, and goes on when all that
// the barrier is for have come. What never comes is a deadlock, and said so.
#pragma once

namespace cpu {

inline uint3 thread_index, block_index;
inline dim3 block_size, grid_size;
inline void* dynamic_shared;

enum State { RUNS, AT_BLOCK_BARRIER, AT_WARP_BARRIER, DONE };
struct Fiber {
  void* stack_pointer;
  char* stack;
  uint3 index;
  int state;
  unsigned mask;  // the lanes that the warp's barrier is for
};

// x86-64: the registers that a call keeps lie on the stack that is left.
extern "C" void cpu_switch_(void** from, void* to);
__asm__(R"(
.text
.weak cpu_switch_
.type cpu_switch_,@function
cpu_switch_:
  pushq %rbp; pushq %rbx; pushq %r12; pushq %r13; pushq %r14; pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15; popq %r14; popq %r13; popq %r12; popq %rbx; popq %rbp
  ret
)");

constexpr size_t STACK = 64 * 1024;
inline std::vector<Fiber> fibers;
inline Fiber* current;
inline void* scheduler;
inline int threads;  // of a block
inline void (*body)(void*);
inline void* body_data;
inline bool fibered;
struct Vote { int any, all, count; };
inline Vote votes, voted;  // of __syncthreads_or, _and, _count: this barrier's, the last one's
struct Slot { alignas(8) char value[16]; };
inline Slot warp_in[1024], warp_out[1024];  // what the lanes of a warp hand each other

[[noreturn]] inline void fail(const char* why) {
  fprintf(stderr, "cuda_on_cpu: %s in block (%u,%u,%u)\n", why, block_index.x, block_index.y,
          block_index.z);
  abort();
}

inline void entry() {
  body(body_data);
  current->state = DONE;
  cpu_switch_(&current->stack_pointer, scheduler);
  abort();
}

inline void pause(int state) {
  if (!fibered) fail("a barrier in a kernel that was taken to have none");
  current->state = state;
  cpu_switch_(&current->stack_pointer, scheduler);
  thread_index = current->index;
}

inline void start_fibers() {
  while ((int)fibers.size() < threads)
    fibers.push_back({nullptr, (char*)aligned_alloc(64, STACK), {}, RUNS, 0});
  for (int i = 0; i < threads; i++) {
    Fiber& fiber = fibers[i];
    unsigned x = block_size.x, y = block_size.y;
    fiber.index = {(unsigned)i % x, (unsigned)i / x % y, (unsigned)i / (x * y)};
    fiber.state = RUNS;
    void** top = (void**)(fiber.stack + STACK);
    *--top = nullptr;
    *--top = (void*)entry;
    for (int k = 0; k < 6; k++) *--top = nullptr;
    fiber.stack_pointer = top;
  }
}

// Let the lanes of one warp go on whose barrier is complete; those that have returned take no part.
inline bool release_warp(int first, int end) {
  unsigned waiting = 0, living = 0;
  for (int i = first; i < end; i++) {
    if (fibers[i].state == AT_WARP_BARRIER) waiting |= 1u << (i - first);
    if (fibers[i].state != DONE) living |= 1u << (i - first);
  }
  for (int i = first; i < end; i++) {
    unsigned needed = fibers[i].mask & living;
    if (fibers[i].state != AT_WARP_BARRIER || (waiting & needed) != needed) continue;
    for (int k = first; k < end; k++)
      if (needed >> (k - first) & 1) fibers[k].state = RUNS;
    memcpy(warp_out + first, warp_in + first, sizeof(Slot) * (end - first));
    return true;
  }
  return false;
}

inline void run_block() {
  threads = block_size.x * block_size.y * block_size.z;
  start_fibers();
  votes = {0, 1, 0};
  for (int living = threads; living;) {
    bool moved = false;
    for (int first = 0; first < threads; first += 32) {
      int end = std::min(first + 32, threads);
      do {
        for (int i = first; i < end; i++) {
          if (fibers[i].state != RUNS) continue;
          current = &fibers[i];
          thread_index = current->index;
          cpu_switch_(&scheduler, current->stack_pointer);
          moved = true;
          living -= current->state == DONE;
        }
      } while (release_warp(first, end));
    }
    int waiting = 0;
    for (int i = 0; i < threads; i++) waiting += fibers[i].state == AT_BLOCK_BARRIER;
    if (waiting && waiting == living) {
      voted = votes;
      votes = {0, 1, 0};
      for (int i = 0; i < threads; i++)
        if (fibers[i].state == AT_BLOCK_BARRIER) fibers[i].state = RUNS;
    } else if (!moved && living) {
      fail("deadlock: some threads wait at __syncthreads, others at a warp's barrier");
    }
  }
}

}  // namespace cpu

#define threadIdx cpu::thread_index
#define blockIdx cpu::block_index
#define blockDim cpu::block_size
#define gridDim cpu::grid_size
