#include "languages/segment_reader.h"

#include <algorithm>
#include <cmath>

#include "common/require.h"
#include "unicode/code_points.h"

namespace pivotkit {
namespace {

constexpr std::size_t kLanes = 16;  // classes whose sums stay in registers

void check(const LanguageModel& model) {
  if (model.classes == 0 || model.classes % kLanes != 0)
    refuse("SegmentReader", "classes", text("be a multiple of ", kLanes), model.classes);
  if (model.states == 0) refuse("SegmentReader", "rows", "hold at least one state", "none");
  for (std::size_t state = 0; state < model.states; ++state) {
    if (model.rows[state] >= model.move_rows)
      refuse("SegmentReader", "rows", text("be below ", model.move_rows), model.rows[state]);
    if (model.outputs[state] >= 0 && static_cast<std::size_t>(model.outputs[state]) >= model.feature_count)
      refuse("SegmentReader", "outputs", text("be below ", model.feature_count), model.outputs[state]);
  }
  for (std::size_t move = 0; move < model.move_rows * 256; ++move)
    if (model.moves[move] >= model.states)
      refuse("SegmentReader", "moves", text("be below ", model.states), model.moves[move]);
}

bool continues(std::uint8_t byte) noexcept { return (byte & 0xC0) == 0x80; }

float root(std::size_t size) noexcept { return std::sqrt(static_cast<float>(size)); }

float log_of(std::int32_t count) noexcept { return std::log1p(static_cast<float>(count)); }

}  // namespace

SegmentReader::SegmentReader(const LanguageModel& model)
    : model_((check(model), model)), counts_(model.feature_count), left_counts_(model.feature_count),
      whole_(model.classes), left_(model.classes), right_(model.classes) {}

SegmentLanguages SegmentReader::read(const ByteTable& segments, std::int64_t half, float lead) {
  SegmentLanguages found;
  found.first.assign(segments.size, -1);
  found.second.assign(segments.size, -1);
  found.first_letters.assign(segments.size, 0);
  found.second_letters.assign(segments.size, 0);
  for (std::size_t i = 0; i < segments.size; ++i) {
    const Bytes all = segments[i];
    const std::size_t cut = middle(all);
    const std::int64_t left = letter_bytes({all.data, cut}), right = letter_bytes({all.data + cut, all.size - cut});
    found.first_letters[i] = left + right;
    if (left + right == 0) continue;
    walk(all, cut);
    if (seen_.empty()) continue;
    const bool halves = left >= half && right >= half;
    score(all.size, cut, halves);
    found.first[i] = static_cast<std::int32_t>(best(whole_));
    if (!halves) continue;
    const std::size_t one = best(left_), other = best(right_);
    if (one == other || left_[one] - left_[other] < lead * root(cut) ||
        right_[other] - right_[one] < lead * root(all.size - cut))
      continue;
    found.first[i] = static_cast<std::int32_t>(one);
    found.second[i] = static_cast<std::int32_t>(other);
    found.first_letters[i] = left;
    found.second_letters[i] = right;
  }
  return found;
}

// The space nearest the middle, in the middle half, else a character there.
std::size_t SegmentReader::middle(Bytes text) const noexcept {
  std::size_t at = text.size / 2;
  for (std::size_t away = 0; away < text.size / 4; ++away) {
    if (text.data[at - away] == ' ') return at - away;
    if (text.data[at + away] == ' ') return at + away;
  }
  while (at > 0 && continues(text.data[at])) --at;
  return at;
}

std::int64_t SegmentReader::letter_bytes(Bytes text) const noexcept {
  std::int64_t total = 0;
  for (std::size_t at = 0; at < text.size;) {
    const CodePoint code = decode(text.data + at, text.size - at);
    if (code.value < model_.letter_codes && model_.letters[code.value] != 0) total += code.length;
    at += code.length;
  }
  return total;
}

// Fills `seen_` and `weights_`.
void SegmentReader::walk(Bytes text, std::size_t middle) {
  seen_.clear();
  weights_.clear();
  std::size_t state = 0;
  for (std::size_t at = 0; at < text.size; ++at) {
    state = model_.moves[std::size_t{model_.rows[state]} * 256 + text.data[at]];
    const std::int32_t output = model_.outputs[state];
    if (output < 0) continue;
    const auto feature = static_cast<std::size_t>(output);
    if (counts_[feature]++ == 0) seen_.push_back(output);
    if (at < middle) ++left_counts_[feature];
  }
  for (const std::int32_t output : seen_) {
    const auto feature = static_cast<std::size_t>(output);
    const std::int32_t both = counts_[feature], left = left_counts_[feature];
    weights_.push_back({log_of(both), log_of(left), log_of(both - left)});
    counts_[feature] = left_counts_[feature] = 0;
  }
}

void SegmentReader::score(std::size_t size, std::size_t middle, bool halves) {
  const float roots[3] = {root(size), root(middle), root(size - middle)};
  for (std::size_t begin = 0; begin < model_.classes; begin += kLanes) {
    float whole[kLanes] = {}, left[kLanes] = {}, right[kLanes] = {};
    const float* columns = model_.features + begin;
    if (halves) {
      for (std::size_t i = 0; i < seen_.size(); ++i) {
        const float* row = columns + static_cast<std::size_t>(seen_[i]) * model_.classes;
        const Weights weight = weights_[i];
        for (std::size_t lane = 0; lane < kLanes; ++lane) {
          whole[lane] += weight.whole * row[lane];
          left[lane] += weight.left * row[lane];
          right[lane] += weight.right * row[lane];
        }
      }
    } else {
      for (std::size_t i = 0; i < seen_.size(); ++i) {
        const float* row = columns + static_cast<std::size_t>(seen_[i]) * model_.classes;
        const float weight = weights_[i].whole;
        for (std::size_t lane = 0; lane < kLanes; ++lane) whole[lane] += weight * row[lane];
      }
    }
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      const float prior = model_.priors[begin + lane], handicap = model_.handicaps[begin + lane];
      whole_[begin + lane] = whole[lane] + prior - handicap * roots[0];
      left_[begin + lane] = left[lane] + prior - handicap * roots[1];
      right_[begin + lane] = right[lane] + prior - handicap * roots[2];
    }
  }
}

std::size_t SegmentReader::best(const std::vector<float>& scores) const noexcept {
  return static_cast<std::size_t>(std::max_element(scores.begin(), scores.end()) - scores.begin());
}

}  // namespace pivotkit
