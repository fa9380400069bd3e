// Partial results of the spans of a vocabulary, merged in ascending order in double.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

namespace pivotkit {

// maximum, sum of exp(z - maximum), and a weighted sum of the same terms.
struct Merged {
  double top = -std::numeric_limits<double>::infinity(), sum = 0.0, weighted = 0.0;

  // Weights relative to the maximum, z - maximum: what the entropy needs.
  void add(float other_top, double other_sum, double other_weighted) {
    if (other_sum == 0.0) return;
    const double raised = std::max(top, static_cast<double>(other_top));
    const double drop = sum == 0.0 ? 0.0 : top - raised, other_drop = other_top - raised;
    const double factor = std::exp(drop), other_factor = std::exp(other_drop);
    weighted = (weighted + drop * sum) * factor + (other_weighted + other_drop * other_sum) * other_factor;
    sum = sum * factor + other_sum * other_factor;
    top = raised;
  }

  // Weights of their own, which no maximum shifts.
  void add_weighted(float other_top, double other_sum, double other_weighted) {
    const double raised = std::max(top, static_cast<double>(other_top));
    const double factor = std::exp(top - raised), other_factor = std::exp(other_top - raised);
    weighted = weighted * factor + other_weighted * other_factor;
    sum = sum * factor + other_sum * other_factor;
    top = raised;
  }

  double logsumexp() const { return top + std::log(sum); }
  double entropy() const { return std::log(sum) - weighted / sum; }
};

}  // namespace pivotkit
