// The part of a divergence that one tile adds, written once over lanes.h and built once per instruction set: the
// weights exp(z_ref - maximum), and their sum over z_ref - z.
//
// The difference is taken before it is weighted, and a shift near its mean is subtracted, so the sum stays small where
// two distributions are alike. Equal logits give exactly 0, and logits that differ by a constant give exactly that
// constant.
#pragma once

#include "common/lane_math.h"
#include "common/lanes.h"
#include "unembed/kernels.h"

namespace pivotkit {
namespace {

// The maxima and sums of the lanes move as in reduce() of tile-inl.h, so that the two sums of a reference belong
// together.
void weigh(const float* logits, int ids, const Reference& out) {
  const int width = padded(ids);
  for (int lane = 0; lane < kLanes; lane += W) {
    F top = load(out.tops + lane);
    for (int first = lane; first < width; first += kBlock) {
      F here[kBlock / kLanes];
      F raised = top;
      for (int q = 0; q < kBlock / kLanes; ++q) {
        here[q] = load(logits + first + q * kLanes);
        store(out.logits + first + q * kLanes, here[q]);
        raised = max(raised, here[q]);
      }
      store(out.factors + first / kBlock * kLanes + lane, exp_negative(top - raised));
      for (int q = 0; q < kBlock / kLanes; ++q) store(out.weights + first + q * kLanes, exp_negative(here[q] - raised));
      top = raised;
    }
    store(out.tops + lane, top);
  }
  for (int v = ids; v < width; ++v) {
    out.logits[v] = kLowest;
    out.weights[v] = 0.0f;
  }
}

inline float first_block_top(const float* logits) {
  F tops = load(logits);
  for (int v = W; v < kBlock; v += W) tops = max(tops, load(logits + v));
  float top[W];
  store(top, tops);
  for (int j = 1; j < W; ++j) top[0] = top[j] > top[0] ? top[j] : top[0];
  return top[0];
}

void diverge(const Reference& reference, float* logits, int ids, bool fresh, float* shift, float* sums) {
  const int width = padded(ids);
  for (int v = ids; v < width; ++v) logits[v] = kLowest;
  if (fresh) {
    *shift = first_block_top(reference.logits) - first_block_top(logits);
    for (int j = 0; j < kLanes; ++j) sums[j] = 0.0f;
  }
  const F off = broadcast(*shift);
  for (int lane = 0; lane < kLanes; lane += W) {
    F sum = load(sums + lane);
    for (int first = lane; first < width; first += kBlock) {
      F part = broadcast(0.0f);  // of the block alone: blocks wait for one another only where they are added
      for (int q = 0; q < kBlock / kLanes; ++q) {
        const int v = first + q * kLanes;
        part = fma(load(reference.weights + v), load(reference.logits + v) - load(logits + v) - off, part);
      }
      sum = fma(sum, load(reference.factors + first / kBlock * kLanes + lane), part);
    }
    store(sums + lane, sum);
  }
}

}  // namespace
}  // namespace pivotkit
