// What the fused unembedding refuses. Also loads hidden rows, because NaN and infinity are first met there.
#pragma once

#include <cstdint>

#include "unembed/unembed.h"

namespace pivotkit {

// Throws std::invalid_argument for shapes, ranges and a non-finite hidden or bias, std::out_of_range for ids.
void check_request(const UnembedRequest& request);

// Lays out a row of hidden as row i of a panel of `rows`: widened, or bfloat16 in pairs, as Products::run says.
void load_row(const Matrix& hidden, std::int64_t row, std::int64_t i, std::int64_t rows, int run, float* panel);

// A product was NaN or infinite although hidden is finite. Names the first such place of the weight, or the overflow.
[[noreturn]] void refuse_nonfinite_logits(const UnembedRequest& request);

}  // namespace pivotkit
