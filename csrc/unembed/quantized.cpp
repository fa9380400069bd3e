#include "unembed/quantized.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "common/parallel.h"
#include "common/require.h"

namespace pivotkit {

namespace {

// Rounds to steps of max / 127 and returns the step; `steps` receives -127 .. 127.
template <class Put>
float to_steps(const double* values, std::int64_t count, double& quantized, double& left, double& all, const Put& put) {
  double largest = 0.0;
  for (std::int64_t d = 0; d < count; ++d) largest = std::max(largest, std::abs(values[d]));
  const auto unit = static_cast<float>(largest / 127.0);
  // A step that underflows quantizes to zero; what is left is then the whole vector, which the bound says.
  const double inverse = unit > 0.0f && std::isfinite(1.0 / unit) ? 1.0 / unit : 0.0;
  quantized = left = all = 0.0;
  for (std::int64_t d = 0; d < count; ++d) {
    const double step = std::clamp(std::nearbyint(values[d] * inverse), -127.0, 127.0), error = values[d] - step * unit;
    put(d, static_cast<int>(step));
    quantized += step * step;
    left += error * error;
    all += values[d] * values[d];
  }
  // Double rounding of the rotation and of these sums is far below one part in 2^40.
  constexpr double kUp = 1.0 + 0x1p-36;
  quantized = std::sqrt(quantized) * unit * kUp;
  all = std::sqrt(all) * kUp;
  left = std::sqrt(left) * kUp + all * 0x1p-40;
  return unit;
}

template <class T>
void widen_row(const T* row, std::int64_t cols, double* values) {
  for (std::int64_t d = 0; d < cols; ++d) values[d] = widen(row[d]);
}

}  // namespace

std::int64_t padded_rows(std::int64_t rows) { return (rows + kBlock - 1) / kBlock * kBlock; }

float round_up(double value) {
  const auto rounded = static_cast<float>(value);
  return rounded >= value ? rounded : std::nextafter(rounded, std::numeric_limits<float>::infinity());
}

void quantize(const Matrix& weight, int threads, std::uint8_t* digits, float* scales, float* residuals, float* norms) {
  // Sums of u8 times s8 stay within 32 bits up to here.
  if (weight.cols > 65536)
    refuse("PackedUnembedding", "weight", "have at most 65536 columns to be certified", weight.cols);
  const Rotation rotation(weight.cols);
  const std::int64_t groups = rotation.padded() / 4;
  parallel_for(padded_rows(weight.rows), kLanes, threads, [&](std::int64_t begin, std::int64_t end, int) {
    std::vector<double> values(static_cast<std::size_t>(2 * rotation.padded()));
    for (std::int64_t id = begin; id < end; ++id) {
      std::fill(values.begin(), values.end(), 0.0);
      if (id < weight.rows) {
        const std::int64_t at = id * weight.row_stride;
        if (weight.type == Dtype::float32)
          widen_row(static_cast<const float*>(weight.data) + at, weight.cols, values.data());
        else if (weight.type == Dtype::bfloat16)
          widen_row(static_cast<const bfloat16*>(weight.data) + at, weight.cols, values.data());
        else
          widen_row(static_cast<const float16*>(weight.data) + at, weight.cols, values.data());
        rotation.apply(values.data(), values.data() + rotation.padded());
      }
      std::uint8_t* out = digits + (begin * groups + id - begin) * 4;
      double quantized, left, all;
      scales[id] = to_steps(values.data(), rotation.padded(), quantized, left, all, [&](std::int64_t d, int step) {
        out[d / 4 * kLanes * 4 + d % 4] = static_cast<std::uint8_t>(step + 128);
      });
      residuals[id] = round_up(left);
      norms[id] = round_up(all);
    }
  });
}

QuantizedRow quantize_row(const Rotation& rotation, const float* values, std::int64_t stride, std::int8_t* steps) {
  std::vector<double> scratch(static_cast<std::size_t>(2 * rotation.padded()));
  for (std::int64_t d = 0; d < rotation.cols(); ++d) scratch[static_cast<std::size_t>(d)] = values[d * stride];
  rotation.apply(scratch.data(), scratch.data() + rotation.padded());
  QuantizedRow row;
  row.unit = to_steps(scratch.data(), rotation.padded(), row.quantized_norm, row.error_norm, row.norm,
                      [&](std::int64_t d, int step) { steps[d] = static_cast<std::int8_t>(step); });
  return row;
}

}  // namespace pivotkit
