// UTF-8 to the UTF-8 of a text's normal form, exactly as the Python that brought the tables computes it.
//
//   normalize(data) == pivotkit.corpus.normalize(text).encode() with text = data.decode("utf-8", "replace")
//
// First `Ignorables` leaves code points out, then `NormalForm` maps the rest.
//
// Why it can be fast. A code point c is *stable* if two first code points do not lean back: that of c's decomposition,
// and that of the decomposition of the casefold of any composite that begins like c. (It leans if it has a class or
// is the second of a canonical composition, Hangul vowels and finals included.) Nothing joins a stable c to the text
// before it, and nothing before it moves, so normalize(x c y) = normalize(x) normalize(c y). Text of stable code points
// is mapped one by one, and ASCII eight bytes at a time. A mark that is its own decomposition and folding and never
// composes (Thai, Hebrew and Arabic vowels, viramas) is copied if the marks before it have no greater class and the
// letter under them decomposes to no mark. A code point that is left out or decomposes to nothing is passed over. Any
// other stretch, from the last stable code point to the next, goes through `NormalForm`.
//
// Cost: one pass; about 0.3 MB of tables. Output may be up to 11 times the input (U+FDFA).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "common/byte_table.h"
#include "unicode/code_points.h"
#include "unicode/ignorables.h"
#include "unicode/normal_form.h"

namespace pivotkit {

// Normalized text, with kPadding bytes of 0 after it. Reused from text to text.
class NormalizedText {
 public:
  static constexpr std::size_t kPadding = 64;

  Bytes bytes() const noexcept { return {buffer_.data(), size_}; }

 private:
  friend class Normalizer;

  std::vector<std::uint8_t> buffer_;
  std::size_t size_ = 0;
  CodePoints stretch_, scratch_, kept_;
};

// A piece of normalized text. It begins at byte `begin` and comes from the original's code point `source` on. A piece
// is as short as possible: one code point whose normal form stands alone, or all that joined or moved. A code point
// that is left out is an empty piece, or part of the piece before it if it is a mark.
struct Piece {
  std::size_t begin, source;
};

class Normalizer {
 public:
  explicit Normalizer(const UnicodeData& data);

  // Safe to call from several threads at once, each with its own `out`.
  void normalize(Bytes text, NormalizedText& out) const;

  // The same text by a slower way that knows where each piece comes from; the last piece is the two sizes.
  std::vector<Piece> align(Bytes text, NormalizedText& out) const;

  std::size_t bytes() const noexcept;

 private:
  static constexpr std::uint16_t kPlain = 0;       // its own normal form, stable, no mark in its decomposition
  static constexpr std::uint16_t kSame = 1;        // its own normal form and stable
  static constexpr std::uint16_t kDropped = 2;     // decomposes to nothing
  static constexpr std::uint16_t kIgnored = 3;     // for `Ignorables` to decide
  static constexpr std::uint32_t kClosed = 0x100;  // more than any combining class

  struct Entry {
    std::uint32_t begin;  // in texts_
    std::uint8_t size;
    bool stable;
    bool open;                     // no mark in its decomposition: a quiet mark may follow
    std::uint8_t quiet_combining;  // not 0: a mark that only takes its place
  };

  struct State {  // how far a text is, and the last stable code point
    std::size_t in, out, stable_in, stable_out;
    std::uint32_t floor;  // least class of a quiet mark that may follow
  };

  const Entry& entry(std::uint32_t code_point) const noexcept { return entries_[index_[code_point]]; }
  Entry describe(std::uint32_t code_point, const std::vector<bool>& unsafe, std::vector<std::uint8_t>& utf8) const;
  std::vector<bool> unsafe_beginnings() const;
  void others(Bytes text, State& state, NormalizedText& out) const;
  void stretch(Bytes text, State& state, NormalizedText& out) const;
  void ignored(Bytes text, State& state, NormalizedText& out) const;
  static void reserve(NormalizedText& out, std::size_t size);

  struct Member {  // a code point of a piece
    std::uint32_t code;
    std::size_t source;
    bool is_ignored;
  };
  std::size_t members(Bytes text, std::size_t at, std::size_t source, CodePoints& kept,
                      std::vector<Member>& found) const;

  NormalForm form_;
  Ignorables ignorables_;
  CodePointTable<std::uint16_t> index_;
  std::vector<Entry> entries_;
  std::vector<std::uint8_t> texts_;
};

}  // namespace pivotkit
