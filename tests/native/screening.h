// The certified unembedding on two instruction sets. Sums of the screening are integers, so with float32 heads every
// bit is the same wherever multiply and add are fused.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "unembed/certified.h"

#include "pseudo_random.h"

namespace {

struct Screened {
  std::vector<std::int64_t> ids, ranks;
  std::vector<float> logits, logsumexp, target_logits, error;
  std::vector<std::uint8_t> certified;
  bool operator==(const Screened& other) const {
    return ids == other.ids && ranks == other.ranks && logits == other.logits && logsumexp == other.logsumexp &&
           target_logits == other.target_logits && error == other.error && certified == other.certified;
  }
};

// Whether both give the same bits, and some row is certified.
bool screening_agrees(std::int64_t rows, std::int64_t vocabulary, std::int64_t dim, pivotkit::Isa one,
                      pivotkit::Isa other) {
  using namespace pivotkit;
  constexpr std::int64_t targets = 3;
  const auto size = [](std::int64_t count) { return static_cast<std::size_t>(count); };
  const std::int64_t k = std::min<std::int64_t>(9, vocabulary);
  Random random{static_cast<std::uint64_t>(rows + vocabulary)};
  std::vector<float> hidden(size(rows * dim)), weight(size(vocabulary * dim));
  for (std::vector<float>* values : {&hidden, &weight})
    for (float& value : *values) value = static_cast<float>(random.next() % 4096) / 2048.0f - 1.0f;
  std::vector<std::int64_t> target_ids;
  for (std::int64_t i = 0; i < rows * targets; ++i) target_ids.push_back(random.next() % vocabulary);
  UnembedRequest request{};
  request.hidden = {hidden.data(), Dtype::float32, rows, dim, dim, 1};
  request.weight = {weight.data(), Dtype::float32, vocabulary, dim, dim, 1};
  request.k = k;
  request.logit_scale = 1.0f;
  request.targets = target_ids.data();
  request.target_count = targets;
  request.threads = 2;
  request.workspace = 64 << 20;
  const std::size_t ids = size(padded_rows(vocabulary));
  std::vector<std::uint8_t> digits(ids * size(padded_cols(dim)));
  std::vector<float> scales(ids), residuals(ids), norms(ids);
  quantize(request.weight, 2, digits.data(), scales.data(), residuals.data(), norms.data());
  const auto screened = [&](Isa isa) {
    Screened a{std::vector<std::int64_t>(size(rows * k)), std::vector<std::int64_t>(size(rows * targets)),
               std::vector<float>(size(rows * k)),        std::vector<float>(size(rows)),
               std::vector<float>(size(rows * targets)),  std::vector<float>(size(rows)),
               std::vector<std::uint8_t>(size(rows))};
    request.isa = isa;
    unembed_certified(request, {digits.data(), scales.data(), residuals.data(), norms.data()},
                      {{a.ids.data(), a.logits.data(), a.logsumexp.data(), a.target_logits.data(), a.ranks.data(),
                        nullptr, nullptr, nullptr},
                       a.error.data(),
                       a.certified.data()},
                      Screening::always);
    return a;
  };
  const Screened answer = screened(one);
  return answer == screened(other) && std::count(answer.certified.begin(), answer.certified.end(), 1) > 0;
}

}  // namespace
