// The vocabulary in int8 for screening: a rotated copy of the weight, and per row the numbers that bound its error.
//
// Both sides of a product are multiplied by the same orthogonal matrix R (signs and Walsh-Hadamard transforms). That
// leaves every product unchanged and spreads a large dimension over all dimensions, so one scale per row suffices. In
// exact arithmetic, with w = scale * q + r and h = unit * g + e after the rotation:
//   h . w = unit * scale * (g . q) + unit * (g . r) + e . w,   |last two| <= ||unit g|| ||r|| + ||e|| ||w||
#pragma once

#include <cstdint>

#include "unembed/kernels.h"
#include "unembed/rotation.h"
#include "unembed/unembed.h"

namespace pivotkit {

struct QuantizedWeight {
  const std::uint8_t* digits;  // (padded_rows / 16, padded_cols / 4, 16, 4): q + 128
  const float* scales;         // (padded_rows), like the two that follow
  const float* residuals;      // ||r||, rounded up
  const float* norms;          // ||w||, rounded up
};

std::int64_t padded_rows(std::int64_t rows);  // to a multiple of 64

// Fills the four arrays of a QuantizedWeight. Cost: one read of the weight, V D log D additions in double.
void quantize(const Matrix& weight, int threads, std::uint8_t* digits, float* scales, float* residuals, float* norms);

// One hidden row, rotated and quantized: padded_cols(cols) steps from -127 to 127.
struct QuantizedRow {
  float unit;
  double quantized_norm, error_norm, norm;  // ||unit g||, ||e||, ||h||
};
QuantizedRow quantize_row(const Rotation& rotation, const float* values, std::int64_t stride, std::int8_t* steps);

// Least float that is not below the value.
float round_up(double value);

}  // namespace pivotkit
