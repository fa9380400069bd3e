// The arithmetic of the certificate: by how much one screened logit may be wrong, and by how much the logsumexp of
// many.
#pragma once

#include <vector>

#include "unembed/merge.h"
#include "unembed/quantized.h"

namespace pivotkit {

// An id that an exact logit must decide, with its approximate logit and the bound on it.
struct Open {
  std::int32_t id;
  float logit, error;
};

// Whether the bounds of this id leave open on which side of an exact logit it lies.
inline bool straddles(const Open& id, float logit) {
  return id.logit + id.error >= logit && !(id.logit - id.error > logit);
}

class ErrorBounds {
 public:
  ErrorBounds(const UnembedRequest& request, const QuantizedWeight& quantized);

  // The bound of a quantized row; `offset` is what the weights' offset of 128 adds to its sums.
  RowBound bound(const QuantizedRow& row, std::int32_t offset) const;

  // Over the whole vocabulary.
  double largest(const RowBound& bound) const;

 private:
  double scale_, softcap_, dim_, roundings_, largest_norm_, largest_residual_, largest_bias_;
};

// Four steps of a row as the kernels' table wants them (ScreenKernels::digits).
void put_digits(const std::int8_t* steps, int digits, std::int32_t* out);

struct Certified {
  double logsumexp;
  float error;  // against the logsumexp of all exact logits
};

// The screened sums of a row, in which the open ids' terms are replaced by their exact ones. `exact` holds these in the
// order of `open`. `terms` is the number of terms per lane of a partial sum.
Certified certify(const Merged& screened, const RowBound& bound, const std::vector<Open>& open,
                  const std::vector<float>& exact, std::int64_t terms);

}  // namespace pivotkit
