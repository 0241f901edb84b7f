"""Powers of two, exp, log and their kin as LLVM IR: polynomials, of errors below 2.3 ulp."""

from __future__ import annotations

import math

import numpy as np

from .elementwise import Arithmetic


class Operation(Arithmetic):
    """One elementwise operation: those of :class:`Arithmetic`, and these."""

    @property
    def mantissa_bits(self) -> int:
        return 23 if self.dtype.itemsize == 4 else 52

    @property
    def bias(self) -> int:
        return 127 if self.dtype.itemsize == 4 else 1023

    def power_of_two(self, n: str) -> str:
        """2**n of an integer n, where that is a normal number."""
        return self.as_float(self.int_op("shl", self.int_op("add", n, self.i(self.bias)),
                                         self.i(self.mantissa_bits)))

    def _normal(self, x: str) -> tuple[str, str]:
        """(x or x 2**64, 0 or -64): a number below the normal ones is brought among them."""
        tiny = self.compare("olt", self.intrinsic("fabs", x),
                            self.c(float(np.finfo(self.dtype).tiny)))
        return (self.select(tiny, self.op("fmul", x, self.c(2.0**64)), x),
                self.select(tiny, self.i(-64), self.i(0), self.it))

    def _exponent(self, x: str) -> str:
        """As np.frexp's: x = m 2**e, 0.5 <= |m| < 1; 0 for 0, NaN and Inf."""
        y, less = self._normal(x)
        e = self.int_op("and", self.int_op("lshr", self.as_int(y), self.i(23)), self.i(255))
        e = self.int_op("add", self.int_op("sub", e, self.i(126)), less)
        odd = self.put(f"or {self.bt} {self.compare('oeq', x, self.c(0))}, "
                       f"{self._not_finite(x)}")
        return self.select(odd, self.i(0), e, self.it)

    def _not_finite(self, x: str) -> str:
        return self.compare("uge", self.intrinsic("fabs", x), self.c(math.inf))

    def _mantissa(self, x: str) -> str:
        y, _ = self._normal(x)
        b = self.int_op("and", self.as_int(y), self.i(~(255 << 23)))
        m = self.as_float(self.int_op("or", b, self.i(126 << 23)))
        odd = self.put(f"or {self.bt} {self.compare('oeq', x, self.c(0))}, "
                       f"{self._not_finite(x)}")
        return self.select(odd, x, m)

    def _ldexp(self, x: str, e: str) -> str:
        low = self.intrinsic("smax", e, self.i(-300), t=self.it)
        n = self.intrinsic("smin", low, self.i(300), t=self.it)
        third = self.int_op("sdiv", n, self.i(3))
        p = self.power_of_two(third)
        rest = self.power_of_two(self.int_op("sub", n, self.int_op("mul", third, self.i(2))))
        return self.op("fmul", self.op("fmul", self.op("fmul", x, p), p), rest)

    # -- exp and log -------------------------------------------------------------------------------

    def _reduced(self, x: str) -> tuple[str, str]:
        """(r, n + 2 bias): x = n ln 2 + r, |r| <= ln 2 / 2; of the second the lowest bits."""
        single = self.dtype.itemsize == 4
        magic = self.c((12582912.0 if single else 6755399441055744.0) + 2 * self.bias)
        t = self.fma(x, self.c(1 / math.log(2)), magic)
        n = self.op("fsub", t, magic)
        high, low = (0.693145751953125, 1.42860682030941723212e-6) if single else (
            0.6931471803691238, 1.9082149292705877e-10)
        return self.fma(n, self.c(-low), self.fma(n, self.c(-high), x)), self.as_int(t)

    def _clamped(self, x: str) -> str:
        limit = 120.0 if self.dtype.itemsize == 4 else 800.0
        x = self.select(self.compare("olt", x, self.c(-limit)), self.c(-limit), x)
        return self.select(self.compare("ogt", x, self.c(limit)), self.c(limit), x)

    def _poly(self, r: str, coefficients: list[float]) -> str:
        p = self.c(coefficients[0])
        for number in coefficients[1:]:
            p = self.fma(p, r, self.c(number))
        return p

    def _small_expm1(self, r: str) -> str:
        """e**r - 1 for |r| <= ln 2 / 2: the series, r + r² (1/2 + r/6 + …)."""
        degree = 7 if self.dtype.itemsize == 4 else 13
        p = self._poly(r, [1 / math.factorial(k) for k in range(degree, 1, -1)])
        return self.fma(self.op("fmul", r, r), p, r)

    def _exp(self, x: str) -> str:
        """(1 + (e**r - 1)) 2**n, in two steps: for results that are no normal numbers. NaN stays:
        it is in r."""
        r, n = self._reduced(self._clamped(x))
        half = self.int_op("lshr", n, self.i(1))
        rest = self.int_op("sub", n, half)
        one, other = (self.as_float(self.int_op("shl", k, self.i(self.mantissa_bits)))
                      for k in (half, rest))
        return self.op("fmul", self.fma(self._small_expm1(r), one, one), other)

    def _expm1(self, x: str) -> str:
        r, n = self._reduced(self._clamped(x))
        p = self._small_expm1(r)
        n = self.int_op("sub", self.int_op("and", n, self.i(4 * self.bias + 3)),
                        self.i(2 * self.bias))
        half = self.int_op("sub", n, self.i(1))  # 2**128 is out of range, twice 2**127 is not
        half = self.intrinsic("smin", half, self.i(self.bias), t=self.it)
        one = self.power_of_two(self.intrinsic("smax", half, self.i(2 - self.bias), t=self.it))
        y = self.fma(p, one, self.op("fsub", one, self.c(0.5)))
        y = self.op("fadd", y, y)
        y = self.select(self.compare("olt", x, self.c(-50)), self.c(-1), y)
        y = self.select(self.compare("ogt", x, self.c(math.log(np.finfo(self.dtype).max))),
                        self.c(math.inf), y)
        y = self.select(self.put(f"icmp eq {self.it} {n}, {self.i(0)}"), p, y)
        y = self.select(self.compare("oeq", x, self.c(0)), x, y)
        return self.select(self.compare("uno", x, x), x, y)

    def _tanh(self, x: str) -> str:
        a = self.intrinsic("fabs", x)
        a = self.select(self.compare("ogt", a, self.c(25)), self.c(25), a)
        e = self._expm1(self.op("fmul", a, self.c(2)))
        y = self.op("fdiv", e, self.op("fadd", e, self.c(2)))
        return self.intrinsic("copysign", y, x)

    def _log(self, x: str) -> str:
        y, less = self._normal(x)
        bits, start = self.mantissa_bits, 0x3F3504F3 if self.dtype.itemsize == 4 \
            else 0x3FE6A09E667F3BCD
        b = self.as_int(y)
        e = self.int_op("ashr", self.int_op("sub", b, self.i(start)), self.i(bits))
        m = self.as_float(self.int_op("sub", b, self.int_op("shl", e, self.i(bits))))
        n = self.put(f"sitofp {self.it} {self.int_op('add', e, less)} to {self.t}")
        f = self.op("fsub", m, self.c(1))
        s = self.op("fdiv", f, self.op("fadd", f, self.c(2)))
        z = self.op("fmul", s, s)
        terms = 5 if self.dtype.itemsize == 4 else 11
        p = self.op("fmul", z, self._poly(z, [2 / (2 * k + 1) for k in range(terms, 0, -1)]))
        # f - s (f - p) is log(1 + f), its largest part without rounding
        small = self.fma(s, self.op("fsub", p, f), self.op("fmul", n, self.c(
            1.42860682030941723212e-6 if self.dtype.itemsize == 4 else 1.9082149292705877e-10)))
        high = 0.693145751953125 if self.dtype.itemsize == 4 else 0.6931471803691238
        y = self.fma(n, self.c(high), self.op("fadd", f, small))
        y = self.select(self.compare("oeq", x, self.c(0)), self.c(-math.inf), y)
        y = self.select(self.compare("ult", x, self.c(0)), self.c(math.nan), y)
        return self.select(self.compare("oeq", x, self.c(math.inf)), x, y)

    def _log1p(self, x: str) -> str:
        u = self.op("fadd", x, self.c(1))
        d = self.op("fsub", u, self.c(1))
        y = self.op("fmul", self._log(u), self.op("fdiv", x, d))
        y = self.select(self.compare("oeq", d, self.c(0)), x, y)
        return self.select(self.compare("oeq", x, self.c(math.inf)), x, y)
