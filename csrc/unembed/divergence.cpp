#include "unembed/divergence.h"

#include <algorithm>

namespace pivotkit {

Reference Divergence::kept(Worker& worker, std::int64_t row) const {
  return {&worker.reference_logits[row * plan_.tile], &worker.reference_weights[row * plan_.tile],
          &worker.reference_factors[row * plan_.tile / kBlock * kLanes], &worker.reference_tops[row * kLanes]};
}

void Divergence::start_span(Worker& worker) const {
  std::fill(worker.reference_tops.begin(), worker.reference_tops.end(), kLowest);
}

void Divergence::add_compared(Worker& worker, std::int64_t row, float* logits, int ids, bool fresh) const {
  if (!rows_.compared(row)) return;
  kernels_.floats->diverge(kept(worker, rows_.reference(row)), logits, ids, fresh, &worker.shifts[row],
                           &worker.sums[row * kLanes]);
}

void Divergence::add(Worker& worker, std::int64_t row, float* logits, int ids, bool fresh) const {
  const std::int64_t references = rows_.references();
  if (row >= references) return add_compared(worker, row, logits, ids, fresh);
  kernels_.floats->weigh(logits, ids, kept(worker, row));
  if (row + 1 < references) return;
  // Only now: a reference may have another one, before or after it.
  for (std::int64_t one = 0; one < references; ++one) add_compared(worker, one, kept(worker, one).logits, ids, fresh);
}

void Divergence::end_span(const Worker& worker, std::int64_t span) {
  for (std::int64_t row = 0; row < rows_.count(); ++row) {
    if (!rows_.compared(row)) continue;
    float states[kStates * kLanes] = {}, out[3];  // maxima, no sums, weighted sums
    std::copy_n(&worker.reference_tops[rows_.reference(row) * kLanes], kLanes, states);
    std::copy_n(&worker.sums[row * kLanes], kLanes, states + 2 * kLanes);
    kernels_.floats->fold(states, false, out);
    parts_[span * plan_.block + row] = {out[2], worker.shifts[row]};
  }
}

double Divergence::of(std::int64_t row, double logsumexp, const std::vector<float>& partials) const {
  if (!rows_.compared(row)) return 0.0;
  Merged reference;  // weighted by z_ref - z
  for (std::int64_t span = 0; span < plan_.spans; ++span) {
    const float* p = &partials[(span * plan_.block + rows_.reference(row)) * 3];
    const Part& part = parts_[span * plan_.block + row];
    reference.add_weighted(p[0], p[1], part.sum + static_cast<double>(part.shift) * p[1]);
  }
  return std::max(reference.weighted / reference.sum - reference.logsumexp() + logsumexp, 0.0);
}

}  // namespace pivotkit
