// Partial results of the pieces of a vocabulary, merged in a fixed order in double.
#pragma once

#include <cmath>

#include "common/anywhere.h"

namespace pivotkit {

// maximum, sum of exp(z - maximum), and a weighted sum of the same terms; nothing seen is a sum of zero.
struct Merged {
  double top = 0.0, sum = 0.0, weighted = 0.0;

  // Weights relative to the maximum, z - maximum: what the entropy needs.
  PIVOTKIT_ANYWHERE void add(double other_top, double other_sum, double other_weighted) {
    if (other_sum == 0.0) return;
    const double raised = raised_by(other_top), drop = sum == 0.0 ? 0.0 : top - raised, other_drop = other_top - raised;
    const double factor = exp(drop), other_factor = exp(other_drop);
    weighted = (weighted + drop * sum) * factor + (other_weighted + other_drop * other_sum) * other_factor;
    sum = sum * factor + other_sum * other_factor;
    top = raised;
  }

  // Weights of their own, which no maximum shifts.
  PIVOTKIT_ANYWHERE void add_weighted(double other_top, double other_sum, double other_weighted) {
    if (other_sum == 0.0) return;
    const double raised = raised_by(other_top), factor = sum == 0.0 ? 0.0 : exp(top - raised);
    const double other_factor = exp(other_top - raised);
    weighted = weighted * factor + other_weighted * other_factor;
    sum = sum * factor + other_sum * other_factor;
    top = raised;
  }

  PIVOTKIT_ANYWHERE double logsumexp() const { return top + log(sum); }
  PIVOTKIT_ANYWHERE double entropy() const { return log(sum) - weighted / sum; }

 private:
  PIVOTKIT_ANYWHERE double raised_by(double other_top) const { return sum == 0.0 || other_top > top ? other_top : top; }
};

}  // namespace pivotkit
