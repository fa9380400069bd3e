#include "unembed/tiles.h"

#include <atomic>
#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include "common/dtype.h"
#include "common/require.h"
#include "unembed/certified.h"

namespace pivotkit {

namespace {

// More than one tile in every direction, and none of them full: rows, ids and dimensions of the test.
constexpr std::int64_t kTestRows = 18, kTestIds = 70, kTestDim = 90;

std::size_t size(std::int64_t count) { return static_cast<std::size_t>(count); }

// Values between -1 and 1 that bfloat16 holds.
struct Values {
  Values(std::int64_t rows, std::uint32_t seed) : rows(rows), floats(size(rows * kTestDim)), halves(floats.size()) {
    for (std::size_t i = 0; i < floats.size(); ++i) {
      seed = seed * 1664525u + 1013904223u;
      const float value = static_cast<float>(static_cast<std::int32_t>(seed >> 8) - (1 << 23)) * 0x1p-23f;
      halves[i] = static_cast<std::uint16_t>(to_bits(value) >> 16);
      floats[i] = widen(bfloat16{halves[i]});
    }
  }
  Matrix matrix(Dtype type) const {
    const void* data = type == Dtype::float32 ? static_cast<const void*>(floats.data()) : halves.data();
    return {data, type, rows, kTestDim, kTestDim, 1};
  }

  std::int64_t rows;
  std::vector<float> floats;
  std::vector<std::uint16_t> halves;
};

struct Answer {
  explicit Answer(std::int64_t k)
      : ids(size(kTestRows * k)), logits(ids.size()), logsumexp(kTestRows), error(kTestRows), certified(kTestRows) {}
  UnembedOutput output() {
    return {ids.data(), logits.data(), logsumexp.data(), nullptr, nullptr, nullptr, nullptr, nullptr};
  }
  bool operator==(const Answer& other) const {
    return ids == other.ids && logits == other.logits && logsumexp == other.logsumexp && error == other.error &&
           certified == other.certified;
  }

  std::vector<std::int64_t> ids;
  std::vector<float> logits, logsumexp, error;
  std::vector<std::uint8_t> certified;
};

UnembedRequest request_of(const Values& hidden, const Values& weight, Dtype type, std::int64_t k, Isa isa) {
  UnembedRequest request{};
  request.hidden = hidden.matrix(type);
  request.weight = weight.matrix(type);
  request.k = k;
  request.logit_scale = 1.0f;
  request.threads = 1;
  request.isa = isa;
  request.workspace = 1 << 20;
  return request;
}

// Every logit of a row comes back, as the top k of all ids.
bool pairs_agree(const Values& hidden, const Values& weight) {
  Answer tiles(kTestIds), plain(kTestIds);
  unembed(request_of(hidden, weight, Dtype::bfloat16, kTestIds, Isa::amx), tiles.output());
  unembed(request_of(hidden, weight, Dtype::bfloat16, kTestIds, Isa::avx512bf16), plain.output());
  for (std::int64_t row = 0; row < kTestRows; ++row) {
    std::vector<float> logits(kTestIds, std::nanf(""));
    for (std::int64_t i = row * kTestIds; i < (row + 1) * kTestIds; ++i) logits[tiles.ids[i]] = tiles.logits[i];
    for (std::int64_t i = row * kTestIds; i < (row + 1) * kTestIds; ++i) {
      const std::int64_t id = plain.ids[i];
      double sizes = 0.0;
      for (std::int64_t d = 0; d < kTestDim; ++d)
        sizes += std::fabs(double{hidden.floats[row * kTestDim + d]} * double{weight.floats[id * kTestDim + d]});
      // No product meets more roundings than there are dimensions, in either of the two.
      const double apart = std::fabs(double{logits[id]} - double{plain.logits[i]});
      if (!(apart <= 2.0 * kTestDim * 0x1p-24 * sizes)) return false;
    }
  }
  return true;
}

bool screening_agrees(const Values& hidden, const Values& weight) {
  constexpr std::int64_t k = 3;
  const auto ids = size(padded_rows(kTestIds));
  std::vector<std::uint8_t> digits(ids * size(padded_cols(kTestDim)));
  std::vector<float> scales(ids), residuals(ids), norms(ids);
  Answer answers[2] = {Answer(k), Answer(k)};
  for (const int which : {0, 1}) {
    const Isa isa = which == 0 ? Isa::avx512vnni : Isa::amx;
    const UnembedRequest request = request_of(hidden, weight, Dtype::float32, k, isa);
    if (which == 0) quantize(request.weight, 1, digits.data(), scales.data(), residuals.data(), norms.data());
    Answer& answer = answers[which];
    unembed_certified(request, {digits.data(), scales.data(), residuals.data(), norms.data()},
                      {answer.output(), answer.error.data(), answer.certified.data()});
  }
  return answers[0] == answers[1];
}

}  // namespace

bool tiles_pass() {
  const Values hidden(kTestRows, 1), weight(kTestIds, 2);
  try {
    return pairs_agree(hidden, weight) && screening_agrees(hidden, weight);
  } catch (const std::invalid_argument&) {
    return false;  // a logit that is not finite
  }
}

Tiles tiles() {
  // No lock, which a fork in the middle of the test would leave locked in the child. Two threads that come first at the
  // same time find the same.
  static std::atomic<int> known{-1};
  int state = known.load();
  if (state < 0) {
    const bool here = supported_isas().back() == Isa::amx;
    const Tiles found = !here              ? Tiles::absent
                        : !request_tiles() ? Tiles::refused
                        : !tiles_pass()    ? Tiles::wrong
                                           : Tiles::ready;
    known.store(state = static_cast<int>(found));
  }
  return static_cast<Tiles>(state);
}

const char* tiles_told(Tiles state) {
  switch (state) {
    case Tiles::absent:
      return "absent";
    case Tiles::refused:
      return "refused by the system";
    case Tiles::wrong:
      return "failing their self-test";
    default:
      return "ready";
  }
}

Isa unembed_isa(const std::string& name, bool wants_tiles) {
  const Isa isa = select_isa(name);
  if (isa == Isa::amx && tiles() != Tiles::ready)
    refuse<BackendUnavailable>("select_isa", "PIVOTKIT_ISA", text("be usable, and tiles are ", tiles_told(tiles())),
                               "amx");
  if (wants_tiles && isa_is_default(name) && tiles() == Tiles::ready) return Isa::amx;
  return isa;
}

}  // namespace pivotkit
