// Divergences of the rows of a block from their references: what each worker adds per tile, what each span leaves, the
// result.
#pragma once

#include <cstdint>
#include <vector>

#include "unembed/block_rows.h"
#include "unembed/merge.h"
#include "unembed/plan.h"

namespace pivotkit {

class Divergence {
 public:
  Divergence(const Plan& plan, const Kernels& kernels, const BlockRows& rows)
      : plan_(plan), kernels_(kernels), rows_(rows),
        parts_(plan.references == 0 ? 0 : static_cast<std::size_t>(plan.spans * plan.block)) {}

  void start_span(Worker& worker) const;
  // A tile's logits (padded(ids)) of a row; rows come in ascending order. `fresh`: the tile begins its span.
  void add(Worker& worker, std::int64_t row, float* logits, int ids, bool fresh) const;
  void end_span(const Worker& worker, std::int64_t span);
  // Of a row whose logits have that logsumexp; the partials are those of unembed.cpp.
  double of(std::int64_t row, double logsumexp, const std::vector<float>& partials) const;

 private:
  // Of a row and a span: sum of exp(z_ref - maximum) ((z_ref - z) - shift).
  struct Part {
    float sum, shift;
  };

  Reference kept(Worker& worker, std::int64_t row) const;
  void add_compared(Worker& worker, std::int64_t row, float* logits, int ids, bool fresh) const;

  const Plan& plan_;
  const Kernels& kernels_;
  const BlockRows& rows_;
  std::vector<Part> parts_;  // (spans, block)
};

}  // namespace pivotkit
