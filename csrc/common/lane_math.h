// exp and tanh over the lanes of lanes.h; internal linkage, like everything there.
#pragma once

#include "common/lanes.h"

namespace pivotkit {
namespace {

// e^x for x <= 0, to about one unit in the last place. Below -87 it stays at e^-87, which no float32 sum notices.
inline F exp_negative(F x) {
  x = max(x, broadcast(-87.0f));
  const F magic = broadcast(0x1.8p23f);  // adding it rounds to an integer and leaves that integer in the low bits
  const F shifted = fma(x, broadcast(0x1.715476p+0f), magic);
  const F n = shifted - magic;
  F r = fma(n, broadcast(-0x1.62e4p-1f), x);  // x - n log 2 in two steps: the first is exact
  r = fma(n, broadcast(-0x1.7f7d1cp-20f), r);
  F p = broadcast(1.0f / 5040);
  p = fma(p, r, broadcast(1.0f / 720));
  p = fma(p, r, broadcast(1.0f / 120));
  p = fma(p, r, broadcast(1.0f / 24));
  p = fma(p, r, broadcast(1.0f / 6));
  p = fma(p, r, broadcast(0.5f));
  p = fma(p, r, broadcast(1.0f));
  p = fma(p, r, broadcast(1.0f));
  return scale_by_power(p, shifted);
}

// tanh. Near 0 an odd series, because (1 - e) / (1 + e) would cancel there.
inline F tanh_lanes(F x) {
  const F zero = broadcast(0.0f), one = broadcast(1.0f);
  const F size = max(x, zero - x);
  const F e = exp_negative(size * broadcast(-2.0f));
  const F far = (one - e) / (one + e);
  const F square = x * x;
  F p = broadcast(-1382.0f / 155925);
  p = fma(p, square, broadcast(62.0f / 2835));
  p = fma(p, square, broadcast(-17.0f / 315));
  p = fma(p, square, broadcast(2.0f / 15));
  p = fma(p, square, broadcast(-1.0f / 3));
  const F near = fma(x * square, p, x);
  const F signed_far = select(greater(zero, x), zero - far, far);
  return select(greater(size, broadcast(0.35f)), signed_far, near);
}

}  // namespace
}  // namespace pivotkit
