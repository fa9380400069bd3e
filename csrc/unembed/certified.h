// The unembedding in two steps: int8 screening of the whole vocabulary, then float32 for the ids that screening leaves
// open.
//
// ids, logits, target_logits and target_ranks equal those of unembed() bit for bit, with a proof per row: an id is left
// out only if its upper bound is below k lower bounds, and out of the count of a rank only if both its bounds lie on
// one side. logsumexp combines the exact logits of the open ids with the approximate ones of all others;
// logsumexp_error bounds its distance from the logsumexp of all exact logits. set_logprobs are exact logits less that
// logsumexp, at most 0. A row with more open ids than its list holds is not certified: its outputs are not written,
// certified is 0, and the caller runs unembed() on it. Each worker fills its own list, so which rows overflow may
// depend on `threads`. Everything else, also the logsumexp and the bound of a certified row, does not. Cost: one read
// of V D bytes, 2 M V D int8 operations, one exponential per logit, and D multiply-adds per open id.
//
// Rows are not certified either where screening would take longer than unembed(): on an instruction set without dot
// products of bytes, and, of many rows, where the first of them leave too many ids open (screen_cost.h).
#pragma once

#include <cstdint>

#include "unembed/quantized.h"
#include "unembed/unembed.h"

namespace pivotkit {

struct CertifiedOutput {
  UnembedOutput values;
  float* logsumexp_error;   // (M)
  std::uint8_t* certified;  // (M)
};

enum class Screening { where_it_pays, always };

// request.tile and request.references are ignored; output.values.entropy and .kl must be null.
void unembed_certified(const UnembedRequest& request, const QuantizedWeight& quantized, const CertifiedOutput& output,
                       Screening screening = Screening::where_it_pays);

}  // namespace pivotkit
