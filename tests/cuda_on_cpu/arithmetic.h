// Functions that CUDA has and the C library has not: bits, minima, atomics, half precision.
#pragma once

inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __clz(int x) { return x ? __builtin_clz(x) : 32; }
inline int __clzll(long long x) { return x ? __builtin_clzll(x) : 64; }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline float rsqrtf(float x) { return 1 / sqrtf(x); }
inline float rsqrt(float x) { return 1 / sqrtf(x); }
inline double rsqrt(double x) { return 1 / sqrt(x); }
inline float __expf(float x) { return expf(x); }
inline float __logf(float x) { return logf(x); }
inline float __fdividef(float a, float b) { return a / b; }
inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
inline float __frcp_rn(float x) { return 1 / x; }

template <class T, class B> inline T cpu_bits_(B v) {
  static_assert(sizeof(T) == sizeof(B));
  T result;
  memcpy(&result, &v, sizeof result);
  return result;
}
inline int __float_as_int(float v) { return cpu_bits_<int>(v); }
inline float __int_as_float(int v) { return cpu_bits_<float>(v); }
inline unsigned __float_as_uint(float v) { return cpu_bits_<unsigned>(v); }
inline float __uint_as_float(unsigned v) { return cpu_bits_<float>(v); }
inline long long __double_as_longlong(double v) { return cpu_bits_<long long>(v); }
inline double __longlong_as_double(long long v) { return cpu_bits_<double>(v); }

template <class A, class B> inline typename std::common_type<A, B>::type min(A a, B b) {
  typedef typename std::common_type<A, B>::type C;
  if constexpr (std::is_floating_point<C>::value) return fmin((C)a, (C)b);
  return (C)a < (C)b ? (C)a : (C)b;
}
template <class A, class B> inline typename std::common_type<A, B>::type max(A a, B b) {
  typedef typename std::common_type<A, B>::type C;
  if constexpr (std::is_floating_point<C>::value) return fmax((C)a, (C)b);
  return (C)a > (C)b ? (C)a : (C)b;
}

// One thread runs at a time: to read and to write is atomic.
template <class T> struct cpu_same_ { typedef T type; };
#define CPU_ATOMIC_(name, value)                                           \
  template <class T> inline T name(T* p, typename cpu_same_<T>::type v) {  \
    T old = *p;                                                            \
    *p = (T)(value);                                                       \
    return old;                                                            \
  }
CPU_ATOMIC_(atomicAdd, old + v)
CPU_ATOMIC_(atomicSub, old - v)
CPU_ATOMIC_(atomicMax, old < v ? v : old)
CPU_ATOMIC_(atomicMin, v < old ? v : old)
CPU_ATOMIC_(atomicExch, v)
CPU_ATOMIC_(atomicAnd, old & v)
CPU_ATOMIC_(atomicOr, old | v)
template <class T>
inline T atomicCAS(T* p, typename cpu_same_<T>::type expected, typename cpu_same_<T>::type v) {
  T old = *p;
  if (old == expected) *p = v;
  return old;
}

// Half precision to single and back, to the nearest, ties to even.
inline float __half2float(unsigned short h) {
  unsigned sign = (h & 0x8000u) << 16, exponent = (h >> 10) & 31, digits = h & 1023;
  if (exponent == 31) return cpu_bits_<float>(sign | 0x7f800000u | digits << 13);
  if (exponent) return cpu_bits_<float>(sign | (exponent + 112) << 23 | digits << 13);
  float small = digits * 5.9604644775390625e-8f;
  return sign ? -small : small;
}
inline unsigned short __float2half_rn(float f) {
  unsigned bits = cpu_bits_<unsigned>(f), sign = bits >> 16 & 0x8000;
  bits &= 0x7fffffff;
  if (bits > 0x7f800000u) return sign | 0x7fff;                           // nan
  if (bits >= 0x477ff000u) return sign | 0x7c00;                          // inf
  if (bits < 0x38800000u)                                                 // below 2^-14
    return sign | (cpu_bits_<unsigned>(cpu_bits_<float>(bits) + 0.5f) - 0x3f000000u);
  return sign | ((bits + 0xfff + ((bits >> 13) & 1) - 0x38000000u) >> 13);
}
#define __half_as_ushort(h) (__half_raw(h).x)
#define __ushort_as_half(v) (half(__half_raw{(unsigned short)(v)}))
