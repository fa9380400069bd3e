// The fused unembedding with many numbers of threads, without Python: the program for the thread sanitizer and for
// machines that are only emulated. For every instruction set of the machine each answer must be, to the bit, the one
// that a single thread gives, and small integers must give what plain loops give. Prints a digest of each field, so
// that two machines can be compared.
#include <algorithm>
#include <cinttypes>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "common/isa.h"
#include "common/parallel.h"
#include "unembed/certified.h"
#include "unembed/tiles.h"
#include "unembed/unembed.h"

#include "pseudo_random.h"

namespace {

using namespace pivotkit;

int failures = 0;

void expect(bool good, const std::string& what) {
  if (good) return;
  ++failures;
  std::fprintf(stderr, "FAILED: %s\n", what.c_str());
}

struct Shape {
  std::int64_t rows, vocabulary, dim, k;
  Dtype type;
  float softcap;
  bool shared_sets, integers;
  bool half_hidden = false;  // bfloat16
};

struct Weight {
  std::vector<float> wide;
  std::vector<std::uint16_t> half;
  const void* data() const { return half.empty() ? static_cast<const void*>(wide.data()) : half.data(); }
};

constexpr std::int64_t kTargets = 3, kSets = 2;

// Inputs in vectors of their exact size, so that one element too many is found.
struct Case {
  explicit Case(const Shape& s) : shape(s) {
    Random random{static_cast<std::uint64_t>(s.rows * 7919 + s.vocabulary)};
    const auto value = [&] {
      const auto n = static_cast<float>(random.next() % 255) - 127.0f;
      return s.integers ? static_cast<float>(static_cast<int>(n) % 4) : n / 256.0f;
    };
    for (std::int64_t i = 0; i < s.rows * s.dim; ++i) hidden.push_back(value());
    for (std::size_t i = 0; s.half_hidden && i < hidden.size(); ++i)
      half_hidden.push_back(static_cast<std::uint16_t>(to_bits(hidden[i]) >> 16));
    for (std::int64_t i = 0; i < s.vocabulary * s.dim; ++i) {
      if (s.type == Dtype::float32) weight.wide.push_back(value());
      // Any finite bits of moderate size: exponents 0x3e and 0x3f of bfloat16, 0x30 to 0x3b of float16.
      const std::uint32_t bits = random.next();
      if (s.type == Dtype::bfloat16) weight.half.push_back(static_cast<std::uint16_t>(0x3e00u + (bits & 0x81ffu)));
      if (s.type == Dtype::float16) weight.half.push_back(static_cast<std::uint16_t>(0x3000u + (bits & 0x8bffu)));
    }
    for (std::int64_t v = 0; v < s.vocabulary; ++v) bias.push_back(s.integers ? 0.0f : value());
    for (std::int64_t i = 0; i < s.rows * kTargets; ++i) targets.push_back(random.next() % s.vocabulary);
    // Alone, in groups, or in a ring: a reference may be an answered row of another block.
    for (std::int64_t m = 0; m < s.rows; ++m)
      references.push_back(m % 3 == 0 ? m : m % 3 == 1 ? std::min(m / 7 * 7 + 6, s.rows - 1) : (m + 1) % s.rows);
    for (std::int64_t i = 0; i < (s.shared_sets ? kSets : s.rows * kSets); ++i) {
      for (std::int64_t v = i % 5; v < s.vocabulary; v += 3 + i % 4) set_ids.push_back(v);
      set_offsets.push_back(static_cast<std::int64_t>(set_ids.size()));
    }
    for (std::vector<float>* one : {&hidden, &bias, &weight.wide}) one->shrink_to_fit();
    for (std::vector<std::int64_t>* one : {&targets, &references, &set_ids, &set_offsets}) one->shrink_to_fit();
    half_hidden.shrink_to_fit();
    weight.half.shrink_to_fit();
  }

  UnembedRequest request(Isa isa, int threads, std::int64_t workspace) const {
    UnembedRequest r{};
    r.hidden = {hidden.data(), Dtype::float32, shape.rows, shape.dim, shape.dim, 1};
    if (shape.half_hidden) r.hidden = {half_hidden.data(), Dtype::bfloat16, shape.rows, shape.dim, shape.dim, 1};
    r.weight = {weight.data(), shape.type, shape.vocabulary, shape.dim, shape.dim, 1};
    r.k = shape.k;
    r.bias = shape.integers ? nullptr : bias.data();
    r.logit_scale = shape.integers ? 1.0f : 0.7f;
    r.softcap = shape.softcap;
    r.targets = targets.data();
    r.target_count = kTargets;
    r.token_sets = {set_ids.data(), set_offsets.data(), kSets, shape.shared_sets};
    r.references = references.data();
    r.threads = threads;
    r.isa = isa;
    r.workspace = workspace;
    return r;
  }

  Shape shape;
  std::vector<float> hidden, bias;
  std::vector<std::uint16_t> half_hidden;
  Weight weight;
  std::vector<std::int64_t> targets, references, set_ids, set_offsets{0};
};

struct Answer {
  std::vector<std::int64_t> ids, target_ranks;
  std::vector<float> logits, logsumexp, target_logits, set_logprobs, entropy, kl;

  Answer(const Case& c, Isa isa, int threads, std::int64_t workspace) {
    const auto rows = static_cast<std::size_t>(c.shape.rows), k = static_cast<std::size_t>(c.shape.k);
    ids.resize(rows * k);
    logits.resize(rows * k);
    target_ranks.resize(rows * kTargets);
    target_logits.resize(rows * kTargets);
    set_logprobs.resize(rows * kSets);
    logsumexp.resize(rows);
    entropy.resize(rows);
    kl.resize(rows);
    unembed(c.request(isa, threads, workspace), {ids.data(), logits.data(), logsumexp.data(), target_logits.data(),
                                                 target_ranks.data(), set_logprobs.data(), entropy.data(), kl.data()});
  }

  template <class Visit>
  void fields(const Visit& visit) const {
    visit("ids", ids.data(), ids.size() * sizeof(std::int64_t));
    visit("logits", logits.data(), logits.size() * sizeof(float));
    visit("target_logits", target_logits.data(), target_logits.size() * sizeof(float));
    visit("target_ranks", target_ranks.data(), target_ranks.size() * sizeof(std::int64_t));
    visit("logsumexp", logsumexp.data(), logsumexp.size() * sizeof(float));
    visit("entropy", entropy.data(), entropy.size() * sizeof(float));
    visit("kl", kl.data(), kl.size() * sizeof(float));
    visit("set_logprobs", set_logprobs.data(), set_logprobs.size() * sizeof(float));
  }

  std::string bytes() const {
    std::string all;
    fields([&](const char*, const void* data, std::size_t size) { all.append(static_cast<const char*>(data), size); });
    return all;
  }
};

// FNV-1a.
std::uint64_t digest(const void* data, std::size_t size) {
  std::uint64_t hash = 14695981039346656037u;
  for (std::size_t i = 0; i < size; ++i) hash = (hash ^ static_cast<const unsigned char*>(data)[i]) * 1099511628211u;
  return hash;
}

// Logits of small integers are exact, so the top k, its order and the ranks are known.
void compare_with_loops(const Case& c, const Answer& answer, const std::string& label) {
  const Shape& s = c.shape;
  for (std::int64_t m = 0; m < s.rows; ++m) {
    std::vector<std::pair<float, std::int64_t>> order;
    for (std::int64_t v = 0; v < s.vocabulary; ++v) {
      float z = 0.0f;
      for (std::int64_t d = 0; d < s.dim; ++d) z += c.hidden[m * s.dim + d] * c.weight.wide[v * s.dim + d];
      order.push_back({-z, v});
    }
    std::sort(order.begin(), order.end());
    for (std::int64_t i = 0; i < s.k; ++i)
      expect(answer.ids[m * s.k + i] == order[i].second && answer.logits[m * s.k + i] == -order[i].first,
             label + ": top k against plain loops");
    for (std::int64_t t = m * kTargets; t < (m + 1) * kTargets; ++t)
      expect(order[answer.target_ranks[t]].second == c.targets[t], label + ": rank against plain loops");
    const std::int64_t reference = c.references[m];
    double kl = answer.logsumexp[m] - static_cast<double>(answer.logsumexp[reference]);
    for (const auto& [z, id] : order) {
      float theirs = 0.0f;
      for (std::int64_t d = 0; d < s.dim; ++d)
        theirs += c.hidden[reference * s.dim + d] * c.weight.wide[id * s.dim + d];
      kl += std::exp(theirs - static_cast<double>(answer.logsumexp[reference])) * (static_cast<double>(theirs) + z);
    }
    expect(reference == m ? answer.kl[m] == 0.0f : std::abs(answer.kl[m] - kl) <= 1e-4 + 2e-5 * kl,
           label + ": divergence against plain loops");
  }
}

// A screened answer is the exact one, whoever screened which span.
void compare_certified(const Case& c, Isa isa, const Answer& exact, const std::string& label) {
  const Shape& s = c.shape;
  const std::int64_t rows = padded_rows(s.vocabulary);
  std::vector<std::uint8_t> digits(static_cast<std::size_t>(rows * padded_cols(s.dim))), certified(s.rows);
  std::vector<float> scales(rows), residuals(rows), norms(rows), error(s.rows);
  for (const int threads : {1, 3, 8}) {
    const UnembedRequest request = c.request(isa, threads, 64 << 20);
    quantize(request.weight, threads, digits.data(), scales.data(), residuals.data(), norms.data());
    Answer screened = exact;
    unembed_certified(
        request, {digits.data(), scales.data(), residuals.data(), norms.data()},
        {{screened.ids.data(), screened.logits.data(), screened.logsumexp.data(), screened.target_logits.data(),
          screened.target_ranks.data(), screened.set_logprobs.data(), nullptr, nullptr},
         error.data(),
         certified.data()},
        Screening::always);
    expect(screened.ids == exact.ids && screened.logits == exact.logits &&
               screened.target_ranks == exact.target_ranks && screened.target_logits == exact.target_logits,
           label + ": certified with " + std::to_string(threads) + " threads");
    for (std::int64_t m = 0; m < s.rows; ++m)
      expect(certified[m] == 0 || std::abs(screened.logsumexp[m] - exact.logsumexp[m]) <= error[m], label + ": bound");
  }
}

void check_refusals(Isa isa, const std::string& label) {
  Case c({9, 5000, 40, 5, Dtype::float32, 0.0f, true, false});
  c.weight.wide[4321 * 40 + 7] = c.weight.wide[1234 * 40 + 5] = std::numeric_limits<float>::quiet_NaN();
  for (const int threads : {1, 2, 7}) {
    std::string message;
    try {
      Answer(c, isa, threads, 64 << 20);
    } catch (const std::invalid_argument& error) {
      message = error.what();
    }
    expect(message.find("row 1234, column 5") != std::string::npos, label + ": names the first NaN; got " + message);
  }
}

void check_parallel_for() {
  for (const int threads : {1, 2, 3, 8, 16}) {
    std::vector<int> seen(1000);
    parallel_for(1000, 7, threads, [&](std::int64_t begin, std::int64_t end, int worker) {
      for (std::int64_t i = begin; i < end; ++i) seen[static_cast<std::size_t>(i)] += worker < threads ? 1 : 2;
    });
    expect(std::count(seen.begin(), seen.end(), 1) == 1000, "parallel_for visits each item once");
    bool thrown = false;
    try {
      parallel_for(1000, 1, threads, [](std::int64_t begin, std::int64_t, int) {
        if (begin % 3 == 2) throw std::runtime_error("piece");
      });
    } catch (const std::runtime_error&) {
      thrown = true;
    }
    expect(thrown, "parallel_for rethrows");
  }
}

}  // namespace

int main() {
  const Shape shapes[] = {
      {1, 1, 1, 1, Dtype::float32, 0.0f, true, true},
      {1, 3001, 65, 9, Dtype::float32, 0.0f, true, true},
      {29, 1400, 37, 12, Dtype::float32, 0.0f, false, true},
      {17, 2000, 530, 10, Dtype::float32, 4.0f, false, false},
      {31, 1999, 65, 10, Dtype::bfloat16, 0.0f, true, false},
      {5, 2500, 300, 10, Dtype::float16, 30.0f, false, false},
      {64, 700, 24, 700, Dtype::float32, 0.0f, true, false},
      {1, 2500, 301, 10, Dtype::bfloat16, 0.0f, true, false, true},
      {18, 1300, 65, 10, Dtype::bfloat16, 0.0f, true, false, true},
      {45, 1500, 530, 10, Dtype::bfloat16, 4.0f, false, false, true},
  };
  check_parallel_for();
  for (const Isa isa : supported_isas()) {
    const std::string name = isa_name(isa);
    try {
      unembed_isa(name, true);  // asks the system for tiles
    } catch (const std::exception& refusal) {
      std::fprintf(stderr, "not run: %s\n", refusal.what());
      continue;
    }
    int number = 0;
    for (const Shape& shape : shapes) {
      const std::string label = name + " " + std::to_string(number++);
      const Case c(shape);
      const Answer one(c, isa, 1, 64 << 20);
      for (const int threads : {2, 3, 4, 8, 16})
        expect(Answer(c, isa, threads, 64 << 20).bytes() == one.bytes(),
               label + ": " + std::to_string(threads) + " threads");
      // A few rows fit this workspace: they pass the weight in several blocks.
      expect(Answer(c, isa, 3, 3 << 20).bytes() == one.bytes(), label + ": small workspace");
      compare_certified(c, isa, one, label);
      if (shape.integers) compare_with_loops(c, one, label);
      one.fields([&](const char* field, const void* data, std::size_t size) {
        std::printf("%s %s %016" PRIx64 "\n", label.c_str(), field, digest(data, size));
      });
    }
    check_refusals(isa, name);
  }
  return failures == 0 ? 0 : 1;
}
