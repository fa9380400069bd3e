// The fused unembedding on the instruction set amx, its tiles emulated (amx_emulation.h): small integers must give what
// plain loops give, other values what double precision gives within the rounding of the products' sums, and neither
// threads nor company nor the way a weight is read may change a bit.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "unembed/certified.h"
#include "unembed/kernels.h"
#include "unembed/tiles.h"
#include "unembed/unembed.h"

#include "screening.h"

namespace amx_emulation {
bool in_use();  // amx_emulation.h
}

namespace {

using namespace pivotkit;

int failures = 0;

void expect(bool good, const std::string& what) {
  if (good) return;
  if (++failures < 20) std::fprintf(stderr, "FAILED: %s\n", what.c_str());
}

// Rows of bfloat16 values, `gap` elements apart from one another, in a vector of its exact size.
struct Halves {
  Halves(std::int64_t rows, std::int64_t dim, std::int64_t gap, bool integers, Random& random)
      : rows(rows), dim(dim), stride(dim + gap), bits(static_cast<std::size_t>((rows - 1) * stride + dim), 0x7fc0) {
    for (std::int64_t i = 0; i < rows; ++i)
      for (std::int64_t d = 0; d < dim; ++d) {
        float value = static_cast<float>(static_cast<int>(random.next() % 7) - 3);
        if (!integers) {  // close to a Gaussian
          value = -6.0f;
          for (int n = 0; n < 12; ++n) value += static_cast<float>(random.next() % 4096) / 4096.0f;
        }
        bits[static_cast<std::size_t>(i * stride + d)] = static_cast<std::uint16_t>(to_bits(value) >> 16);
      }
  }
  double at(std::int64_t i, std::int64_t d) const {
    return widen(bfloat16{bits[static_cast<std::size_t>(i * stride + d)]});
  }
  Matrix matrix(std::int64_t first, std::int64_t count) const {
    return {bits.data() + first * stride, Dtype::bfloat16, count, dim, stride, 1};
  }

  std::int64_t rows, dim, stride;
  std::vector<std::uint16_t> bits;  // NaN between the rows
};

struct Answer {
  std::vector<std::int64_t> ids, ranks;
  std::vector<float> logits, logsumexp, target_logits, kl;
  bool operator==(const Answer& other) const {
    return ids == other.ids && ranks == other.ranks && logits == other.logits && logsumexp == other.logsumexp &&
           target_logits == other.target_logits && kl == other.kl;
  }
};

constexpr std::int64_t kTargets = 5, kTop = 9;

struct Case {
  Case(std::int64_t rows, std::int64_t vocabulary, std::int64_t dim, std::int64_t gap, bool integers)
      : random{static_cast<std::uint64_t>(rows * 7919 + dim)}, hidden(rows, dim, gap, integers, random),
        weight(vocabulary, dim, gap, integers, random), k(std::min(kTop, vocabulary)) {
    for (std::int64_t i = 0; i < rows * kTargets; ++i) targets.push_back(random.next() % vocabulary);
    for (std::int64_t m = 0; m < rows; ++m) references.push_back(random.next() % rows);
  }

  // Rows are compared where all are there: a reference may be any of them.
  UnembedRequest request(std::int64_t first, std::int64_t count, int threads) const {
    UnembedRequest r{};
    r.hidden = hidden.matrix(first, count);
    r.weight = weight.matrix(0, weight.rows);
    r.k = k;
    r.logit_scale = 1.0f;
    r.targets = targets.data() + first * kTargets;
    r.target_count = kTargets;
    r.references = count == hidden.rows ? references.data() : nullptr;
    r.threads = threads;
    r.isa = Isa::amx;
    r.workspace = 64 << 20;
    return r;
  }

  Answer answer(std::int64_t first, std::int64_t count, int threads) const {
    const auto rows = static_cast<std::size_t>(count), kept = static_cast<std::size_t>(k);
    Answer a{std::vector<std::int64_t>(rows * kept), std::vector<std::int64_t>(rows * kTargets),
             std::vector<float>(rows * kept),        std::vector<float>(rows),
             std::vector<float>(rows * kTargets),    std::vector<float>(count == hidden.rows ? rows : 0)};
    unembed(request(first, count, threads), {a.ids.data(), a.logits.data(), a.logsumexp.data(), a.target_logits.data(),
                                             a.ranks.data(), nullptr, nullptr, a.kl.empty() ? nullptr : a.kl.data()});
    return a;
  }

  Random random;
  Halves hidden, weight;
  std::int64_t k;
  std::vector<std::int64_t> targets, references;
};

void compare_with_loops(const Case& c, const Answer& answer, bool integers, const std::string& label) {
  std::vector<std::vector<double>> logprobs;
  for (std::int64_t m = 0; m < c.hidden.rows; ++m) {
    std::vector<std::pair<double, std::int64_t>> order;
    std::vector<double> logits, sizes;
    for (std::int64_t v = 0; v < c.weight.rows; ++v) {
      double z = 0.0, size = 0.0;
      for (std::int64_t d = 0; d < c.hidden.dim; ++d) {
        z += c.hidden.at(m, d) * c.weight.at(v, d);
        size += std::abs(c.hidden.at(m, d) * c.weight.at(v, d));
      }
      order.push_back({-z, v});
      logits.push_back(z);
      sizes.push_back(size);
    }
    std::sort(order.begin(), order.end());
    double sum = 0.0;
    for (const double z : logits) sum += std::exp(z + order[0].first);
    logprobs.push_back(logits);
    for (double& z : logprobs.back()) z -= std::log(sum) - order[0].first;
    // Roundings of one product: in its chunk of 16 pairs, their two sums, and the chunks.
    const double rounding = integers ? 0.0 : 0x1p-24 * (18.0 + static_cast<double>(c.hidden.dim) / 32.0);
    for (std::int64_t i = 0; i < c.k; ++i) {
      const std::int64_t id = answer.ids[m * c.k + i];
      if (integers) expect(id == order[i].second, label + ": order against plain loops");
      expect(std::abs(answer.logits[m * c.k + i] - logits[id]) <= rounding * sizes[id],
             label + ": logit against plain loops");
      expect(std::abs(logits[id] + order[i].first) <= 2 * rounding * sizes[id], label + ": top k against plain loops");
    }
    for (std::int64_t t = m * kTargets; t < (m + 1) * kTargets; ++t) {
      const std::int64_t id = c.targets[t];
      if (integers) expect(order[answer.ranks[t]].second == id, label + ": rank against plain loops");
      expect(std::abs(answer.target_logits[t] - logits[id]) <= rounding * sizes[id],
             label + ": target against plain loops");
      // Gathered weights give the bits that the panel gives.
      for (std::int64_t i = 0; i < c.k; ++i)
        if (answer.ids[m * c.k + i] == id)
          expect(answer.target_logits[t] == answer.logits[m * c.k + i] && answer.ranks[t] == i,
                 label + ": target in the top k");
    }
  }
  for (std::int64_t m = 0; m < c.hidden.rows; ++m) {
    const std::vector<double>&ours = logprobs[m], &theirs = logprobs[c.references[m]];
    double kl = 0.0;
    for (std::size_t v = 0; v < ours.size(); ++v) kl += std::exp(theirs[v]) * (theirs[v] - ours[v]);
    expect(std::abs(answer.kl[m] - kl) <= 1e-4 + 1e-5 * kl, label + ": divergence against plain loops");
  }
}

// A row alone reads the weight in place; more than 32 rows pack it.
void compare_alone(const Case& c, const Answer& all, const std::string& label) {
  for (std::int64_t m = 0; m < c.hidden.rows; m += 7) {
    const Answer one = c.answer(m, 1, 1);
    const auto same = [m](const auto& alone, const auto& together, std::int64_t count) {
      return std::equal(alone.begin(), alone.end(), together.begin() + m * count);
    };
    expect(same(one.ids, all.ids, c.k) && same(one.logits, all.logits, c.k) && same(one.ranks, all.ranks, kTargets) &&
               same(one.target_logits, all.target_logits, kTargets) && same(one.logsumexp, all.logsumexp, 1),
           label + ": a row alone");
  }
}

void compare_certified(const Case& c, const Answer& exact, const std::string& label) {
  const auto rows = static_cast<std::size_t>(c.hidden.rows), ids = static_cast<std::size_t>(padded_rows(c.weight.rows));
  std::vector<std::uint8_t> digits(ids * static_cast<std::size_t>(padded_cols(c.hidden.dim))), certified(rows);
  std::vector<float> scales(ids), residuals(ids), norms(ids), error(rows);
  const UnembedRequest request = c.request(0, c.hidden.rows, 2);
  quantize(request.weight, 2, digits.data(), scales.data(), residuals.data(), norms.data());
  Answer screened = exact;
  unembed_certified(request, {digits.data(), scales.data(), residuals.data(), norms.data()},
                    {{screened.ids.data(), screened.logits.data(), screened.logsumexp.data(),
                      screened.target_logits.data(), screened.ranks.data(), nullptr, nullptr, nullptr},
                     error.data(),
                     certified.data()},
                    Screening::always);
  expect(std::count(certified.begin(), certified.end(), 1) > 0, label + ": some row is certified");
  for (std::size_t m = 0; m < rows; ++m)
    expect(certified[m] == 0 || std::abs(screened.logsumexp[m] - exact.logsumexp[m]) <= error[m], label + ": bound");
  screened.logsumexp = exact.logsumexp;
  expect(screened == exact, label + ": certified");
}

// The tiles must not stay in use behind an error, or a thread would carry 8 KiB more in every change of its context.
void check_released() {
  Case c(40, 100, 64, 0, false);
  c.weight.bits[64 * 30] = 0x7f80;
  bool refused = false;
  try {
    c.answer(0, 40, 1);
  } catch (const std::exception&) {
    refused = true;
  }
  expect(refused, "an infinite weight is refused");
  expect(!amx_emulation::in_use(), "tiles are released behind an error");
}

}  // namespace

int main() {
  const std::vector<Isa>& here = supported_isas();
  const bool comparable = std::find(here.begin(), here.end(), Isa::avx512bf16) != here.end();
  if (comparable && !tiles_pass()) {
    std::puts("the self-test fails");
    return 2;
  }
  const std::int64_t shapes[][4] = {
      // rows, vocabulary, dim, gap
      {1, 1, 1, 0},    {1, 200, 33, 0},  {16, 130, 31, 1},  {17, 131, 64, 0},
      {32, 64, 77, 3}, {33, 300, 96, 0}, {70, 257, 161, 4},
  };
  for (const bool integers : {true, false})
    for (const auto& [rows, vocabulary, dim, gap] : shapes) {
      const std::string label =
          std::to_string(rows) + " rows, " + std::to_string(dim) + (integers ? " integers" : " values");
      const Case c(rows, vocabulary, dim, gap, integers);
      const Answer answer = c.answer(0, rows, 1);
      compare_with_loops(c, answer, integers, label);
      expect(c.answer(0, rows, 3) == answer, label + ": threads");
      compare_alone(c, answer, label);
    }
  // So few ids that a worker's list holds whatever the targets leave open.
  const Case screened(20, 250, 96, 0, false);
  compare_certified(screened, screened.answer(0, 20, 1), "certified");
  for (const std::int64_t rows : {1, 15, 16, 17, 32, 33, 70})
    expect(screening_agrees(rows, 40 + 3 * rows, 30 + 7 * rows, Isa::avx512, Isa::amx),
           "the bits of AVX-512's screening");
  check_released();
  std::puts(failures == 0 ? "all equal" : "not equal");
  return failures == 0 ? 0 : 1;
}
