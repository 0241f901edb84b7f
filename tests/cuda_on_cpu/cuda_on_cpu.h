// CUDA C++ for g++: what a kernel may say, and launch(), which runs one on the processor.
// Included before a kernel's source, in place of what NVRTC knows by itself.
#pragma once
#include <algorithm>
#include <cassert>
#include <cfloat>
#include <climits>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>
#include <math.h>

#define __CUDA_ON_CPU__ 1
#define __global__
#define __device__
#define __host__
#define __constant__ static
#define __managed__ static
#define __shared__ static  // one block runs at a time
#define __forceinline__ inline
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#ifndef __align__
#define __align__(n) __attribute__((aligned(n)))
#endif
#define __ldg(p) (*(p))
#define warpSize 32

struct uint3 { unsigned x, y, z; };
struct dim3 {
  unsigned x, y, z;
  dim3(unsigned a = 1, unsigned b = 1, unsigned c = 1) : x(a), y(b), z(c) {}
};
template <class T> struct alignas(2 * sizeof(T)) vector2 { T x, y; };
template <class T> struct alignas(sizeof(T) == 8 ? 16 : 4 * sizeof(T)) vector4 { T x, y, z, w; };
typedef vector2<float> float2;
typedef vector4<float> float4;
typedef vector2<double> double2;
typedef vector4<double> double4;
typedef vector2<int> int2;
typedef vector4<int> int4;
typedef vector2<unsigned> uint2;
typedef vector4<unsigned> uint4;
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline double2 make_double2(double x, double y) { return {x, y}; }

#include "fibers.h"
#include "warps.h"
#include "arithmetic.h"

namespace cpu {

template <class... A, size_t... I>
inline void call(void (*kernel)(A...), void** arguments, std::index_sequence<I...>) {
  kernel(*(std::remove_reference_t<A>*)arguments[I]...);
}

// Run a kernel, block after block. `barriers`: whether it synchronizes, so that the threads of a
// block must be fibers; else they are the turns of a loop, which is faster.
template <class... A>
inline void launch(void (*kernel)(A...), void** arguments, const unsigned* grid,
                   const unsigned* block, size_t shared, bool barriers) {
  struct Call { void (*kernel)(A...); void** arguments; } made{kernel, arguments};
  std::vector<char> dynamic(shared + 64);
  dynamic_shared = (void*)(((uintptr_t)dynamic.data() + 63) / 64 * 64);
  grid_size = dim3(grid[0], grid[1], grid[2]);
  block_size = dim3(block[0], block[1], block[2]);
  fibered = barriers;
  body_data = &made;
  body = [](void* data) {
    Call* made = (Call*)data;
    call(made->kernel, made->arguments, std::index_sequence_for<A...>());
  };
  uint3 &b = block_index, &t = thread_index;
  for (b.z = 0; b.z < grid[2]; b.z++)
    for (b.y = 0; b.y < grid[1]; b.y++)
      for (b.x = 0; b.x < grid[0]; b.x++) {
        if (barriers) {
          run_block();
          continue;
        }
        for (t.z = 0; t.z < block[2]; t.z++)
          for (t.y = 0; t.y < block[1]; t.y++)
            for (t.x = 0; t.x < block[0]; t.x++)
              call(kernel, arguments, std::index_sequence_for<A...>());
      }
}

}  // namespace cpu
