// The elementary functions some units in the last place off, as CUDA's are beside the C library's:
// a test that asks for more than a GPU promises fails. Whole numbers, where CUDA is exact, stay.
#pragma once

namespace cpu {

inline float off(float v, int ulps) {
  if (!(v - v == 0) || v == floorf(v) || fabsf(v) < 1e-37f) return v;
  int bits = cpu_bits_<int>(v);
  return cpu_bits_<float>(bits + (bits * 0x9E3779B1u >> 31 ? ulps : -ulps));
}
inline double off(double v, int ulps) {
  if (!(v - v == 0) || v == floor(v) || fabs(v) < 1e-300) return v;
  long long bits = cpu_bits_<long long>(v);
  return cpu_bits_<double>(
      bits + ((unsigned long long)bits * 0x9E3779B97F4A7C15ull >> 63 ? ulps : -ulps));
}
template <class T> inline T off(T v, int) { return v; }

}  // namespace cpu

#define exp(x) cpu::off(exp(x), 1)
#define expm1(x) cpu::off(expm1(x), 1)
#define log(x) cpu::off(log(x), 1)
#define log1p(x) cpu::off(log1p(x), 1)
#define tanh(x) cpu::off(tanh(x), 2)
#define erf(x) cpu::off(erf(x), 2)
#define sin(x) cpu::off(sin(x), 2)
#define cos(x) cpu::off(cos(x), 2)
#define pow(x, y) cpu::off(pow(x, y), 4)
