// What the fused unembedding refuses, and the loading of hidden rows, where NaN and infinity are met first.
#pragma once

#include <cstdint>

#include "unembed/unembed.h"

namespace pivotkit {

// Throws std::invalid_argument for shapes, ranges and a non-finite hidden or bias, std::out_of_range for ids.
void check_request(const UnembedRequest& request);

// Lays rows [first, first + count) of hidden out as a panel: widened, or bfloat16 in pairs, as Products::run says.
void load_rows(const Matrix& hidden, std::int64_t first, std::int64_t count, int run, float* panel);

// A product was NaN or infinite although hidden is finite: names the weight's first such place, or the overflow.
[[noreturn]] void refuse_nonfinite_logits(const UnembedRequest& request);

}  // namespace pivotkit
