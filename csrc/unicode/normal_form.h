// compose(casefold(compose(text))) on code points, by tables of the caller: the exact and slow half of the normalizer.
//
// Decomposition, canonical ordering and canonical composition follow Unicode Standard Annex 15 and chapter 3.11;
// Hangul syllables are computed (chapter 3.12); case folding is full (chapter 3.13). What a code point decomposes to,
// which may be nothing, and what composes is the tables' affair. They come from the Python that defines `normalize`, so
// both agree whatever its Unicode version.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "common/flat_map.h"
#include "unicode/code_points.h"

namespace pivotkit {

// Code points with a text for each: the text of codes[i] is values[offsets[i] .. offsets[i + 1]).
struct CodePointTexts {
  const std::uint32_t* codes;   // (count), ascending
  const std::int64_t* offsets;  // (count + 1), as in ByteTable
  const std::uint32_t* values;
  std::size_t count;
};

struct UnicodeData {
  const std::uint8_t* combining;      // (kCodePoints): canonical combining classes
  CodePointTexts decompositions;      // full decompositions where they differ, but for Hangul; empty: dropped
  CodePointTexts foldings;            // full case foldings where they differ
  const std::uint32_t* compositions;  // (count, 3): first, second, their primary composite; but for Hangul
  std::size_t composition_count;
  const std::uint8_t* roles;  // (kCodePoints): what `Ignorables` must know
};

using CodePoints = std::vector<std::uint32_t>;

class NormalForm {
 public:
  // Throws std::invalid_argument for a code point out of range, a table that is not sorted, or an empty folding.
  explicit NormalForm(const UnicodeData& data);

  // Replaces `text`; `scratch` is only space. Takes linear time, apart from the sort of the marks of one letter.
  void normalize(CodePoints& text, CodePoints& scratch) const;
  void decompose(CodePoints& text, CodePoints& scratch) const;
  void fold(CodePoints& text, CodePoints& scratch) const;  // casefold

  std::uint8_t combining(std::uint32_t code_point) const noexcept {
    return static_cast<std::uint8_t>(traits_[code_point] & kCombining);
  }
  // Whether `code_point` is a mark that composes with nothing before it, and only takes its place among the marks.
  bool only_moves(std::uint32_t code_point) const noexcept {
    return combining(code_point) != 0 && !has(code_point, kSecond);
  }
  // Whether normalization may join `code_point` (decomposed) to what stands before it, or move it.
  bool leans_back(std::uint32_t code_point) const noexcept {
    return (traits_[code_point] & (kCombining | kSecond)) != 0;
  }
  // Whether `code_point` decomposes to nothing.
  bool is_dropped(std::uint32_t code_point) const noexcept {
    return has(code_point, kDecomposes) && decompositions_.find(code_point)->size == 0;
  }
  // Every code point that is not its own normal form or leans back, and maybe others; Hangul syllables left out.
  const CodePoints& unusual() const noexcept { return unusual_; }

  std::size_t bytes() const noexcept;

 private:
  // What a code point has, in one look-up: its combining class, and a part in one of the tables.
  static constexpr std::uint16_t kCombining = 0xFF, kSecond = 0x100, kDecomposes = 0x200, kFolds = 0x400,
                                 kSyllable = 0x800;

  struct Text {
    std::uint32_t begin = 0, size = 0;
  };

  bool has(std::uint32_t code_point, std::uint16_t trait) const noexcept { return (traits_[code_point] & trait) != 0; }
  void add(const char* name, const CodePointTexts& texts, std::uint16_t trait, FlatMap<Text>& map,
           std::vector<std::uint16_t>& traits);
  std::uint16_t all_traits(const CodePoints& text) const noexcept;
  void append(const FlatMap<Text>& texts, std::uint32_t code, CodePoints& out) const;
  void sort_marks(CodePoints& text) const;
  void compose(CodePoints& text) const;
  std::uint32_t composite(std::uint32_t first, std::uint32_t second) const noexcept;  // 0: none

  CodePointTable<std::uint16_t> traits_;
  FlatMap<Text> decompositions_, foldings_;
  CodePoints values_;
  FlatMap<std::uint32_t> composites_;  // first << 32 | second
  CodePoints unusual_;
};

}  // namespace pivotkit
