// The language of each of many segments of text, by the naive Bayes model of langid.py (M. Lui and T. Baldwin, 2012).
//
//   counts[f] = how often the automaton meets feature f on its walk over the bytes of the segment
//   score[c]  = priors[c] - handicaps[c] sqrt(bytes) + sum over f of log1p(counts[f]) features[f, c]
//   language  = argmax of score, the first of equal ones
//
// Equivalent: np.argmax(priors - handicaps * np.sqrt(n) + np.log1p(counts) @ features).
//
// The same walk scores the two halves of a segment, cut at the space nearest its middle; what the automaton meets
// belongs to the half that holds its last byte. Where both halves have `half` bytes of letters, and each prefers its
// own language to the other's by at least `lead` sqrt(its bytes), the segment is in two languages. A segment without
// letters or features has none.
//
// float32, features in the order in which they are first met. Cost: a step of the automaton per byte, and `classes`
// products, or three times as many, per distinct feature; both mostly wait for memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "common/byte_table.h"

namespace pivotkit {

// The arrays of a model, which outlive whoever reads them. From state s, byte b leads to state moves[rows[s], b], where
// feature outputs[s] is met, or none for a negative one.
struct LanguageModel {
  const std::uint32_t* moves;   // (move_rows, 256)
  const std::uint16_t* rows;    // (states)
  const std::int32_t* outputs;  // (states)
  const float* features;        // (feature_count, classes)
  const float* priors;          // (classes)
  const float* handicaps;       // (classes)
  const std::uint8_t* letters;  // (letter_codes): whether a code point is a letter; those beyond are none
  std::size_t move_rows, states, feature_count, classes, letter_codes;
};

// One entry per segment: classes, -1 for none, and bytes of letters. `second` and `second_letters` are those of the
// second half of a segment in two languages; `first` and `first_letters` are then those of its first half.
struct SegmentLanguages {
  std::vector<std::int32_t> first, second;
  std::vector<std::int64_t> first_letters, second_letters;
};

class SegmentReader {
 public:
  // Classes are taken sixteen at a time, so their number must be a multiple of it. Throws std::invalid_argument for
  // another number, and where the model leads out of its arrays.
  explicit SegmentReader(const LanguageModel& model);

  // Segments in UTF-8.
  SegmentLanguages read(const ByteTable& segments, std::int64_t half, float lead);

 private:
  struct Weights {
    float whole, left, right;
  };

  std::size_t middle(Bytes text) const noexcept;
  std::int64_t letter_bytes(Bytes text) const noexcept;
  void walk(Bytes text, std::size_t middle);
  void score(std::size_t size, std::size_t middle, bool halves);
  std::size_t best(const std::vector<float>& scores) const noexcept;

  LanguageModel model_;
  std::vector<std::int32_t> counts_, left_counts_;  // of each feature, zero between segments
  std::vector<std::int32_t> seen_;                  // features of the segment
  std::vector<Weights> weights_;                    // of each of them
  std::vector<float> whole_, left_, right_;         // scores
};

}  // namespace pivotkit
