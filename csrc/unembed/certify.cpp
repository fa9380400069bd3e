#include "unembed/certify.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace pivotkit {

ErrorBounds::ErrorBounds(const UnembedRequest& request, const QuantizedWeight& quantized)
    : scale_(std::abs(static_cast<double>(request.logit_scale))), softcap_(request.softcap),
      dim_(static_cast<double>(request.weight.cols)), largest_bias_(0.0) {
  const std::int64_t dim = request.weight.cols, ids = request.weight.rows;
  // The exact path's own: up to 256 products, then the runs' totals; or on AMX 16 pairs of products, then the chunks'
  // totals. And 32 for the float arithmetic of screening.
  const std::int64_t runs = std::min<std::int64_t>(dim, kDepth) + dim / kDepth, chunks = 16 + dim / 32;
  roundings_ = static_cast<double>(std::max(runs, chunks) + 2 + 32);
  largest_norm_ = *std::max_element(quantized.norms, quantized.norms + ids);
  largest_residual_ = *std::max_element(quantized.residuals, quantized.residuals + ids);
  for (std::int64_t v = 0; request.bias != nullptr && v < ids; ++v)
    largest_bias_ = std::max(largest_bias_, std::abs(static_cast<double>(request.bias[v])));
}

RowBound ErrorBounds::bound(const QuantizedRow& row, std::int32_t offset) const {
  const double up = 1.0 + 0x1p-20;  // the kernels add and multiply these bounds in float
  // Each rounding is within 2^-24 of sum |h w| <= ||h|| ||w||.
  const double float_rounding = row.norm * roundings_ * 0x1p-24;
  // Of the head: adding the bias, scaling, and tanh to within 2^-19 of the cap.
  const double head_rounding = scale_ * largest_bias_ * 0x1p-22 + softcap_ * 0x1p-19;
  // Where pairs of bfloat16 are multiplied, subnormal values of either side count as zero, and so do subnormal sums.
  const double flushed = scale_ * 0x1p-126 * (2.0 * (dim_ + 2.0) + std::sqrt(dim_) * (row.norm + largest_norm_));
  RowBound bound{row.unit,
                 offset,
                 round_up(scale_ * row.quantized_norm * up),
                 round_up(scale_ * (row.error_norm + float_rounding) * up),
                 round_up((head_rounding + flushed) * up + std::numeric_limits<float>::min()),
                 0.0f};
  const double x = largest(bound);
  // The ratio rises with x, so its value at the largest error serves all.
  bound.growth = x < 1e-3 ? 0.17f : round_up((std::expm1(x) - x - x * x / 2) / (x * x * x) * up);
  return bound;
}

double ErrorBounds::largest(const RowBound& bound) const {
  return static_cast<double>(bound.residual) * largest_residual_ + static_cast<double>(bound.norm) * largest_norm_ +
         bound.rounding;
}

void put_digits(const std::int8_t* steps, int digits, std::int32_t* out) {
  const auto pair = [](int low, int high) {
    return (static_cast<std::uint32_t>(low) & 0xffffu) | static_cast<std::uint32_t>(high) << 16;
  };
  const std::uint32_t even = pair(steps[0], steps[2]), odd = pair(steps[1], steps[3]);
  if (digits == 2) {
    out[0] = static_cast<std::int32_t>(even);
    out[1] = static_cast<std::int32_t>(odd);
  } else {
    out[0] = static_cast<std::int32_t>((even & 0x00ff00ffu) | (odd & 0x00ff00ffu) << 8);
  }
}

Certified certify(const Merged& screened, const RowBound& bound, const std::vector<Open>& open,
                  const std::vector<float>& exact, std::int64_t terms) {
  double top = screened.top;
  for (const float z : exact) top = std::max(top, static_cast<double>(z));
  const double shift = std::exp(screened.top - top), whole = screened.sum * shift;
  double known = 0.0, rest = whole, grown = screened.weighted * shift;
  for (std::size_t i = 0; i < open.size(); ++i) {
    const double part = std::exp(open[i].logit - top), x = open[i].error;
    known += std::exp(exact[i] - top);
    rest -= part;
    grown -= part * x * (1.0 + x * (0.5 + x * bound.growth));
  }
  rest = std::max(rest, 0.0);
  grown = std::max(grown, 0.0);
  // Sums of float32 terms and their exponentials, twice: ours and the exact path's.
  const double summing = 2.0 * (static_cast<double>(terms + 64) * 0x1p-24 + 4e-6);
  const double noise = (whole + screened.weighted * shift) * summing;
  // A term is off by a factor within e^x and e^-x, and 1 - e^-x <= x <= e^x - 1.
  const double high = known * (1.0 + summing) + rest + grown + noise;
  const double low = known * (1.0 - summing) + std::max(rest - grown - noise, 0.0);
  const double total = known + rest, logsumexp = top + std::log(total);
  const double error = std::max(std::log(high / total), std::log(total / low));
  return {logsumexp, round_up(error + std::abs(logsumexp) * 0x1p-23 + 1e-12)};
}

}  // namespace pivotkit
