// Where a grapheme cluster goes on in normalized text: UAX #29, as far as words of scripts without spaces and of signs
// need it, plus what binds more than it says. A mark always belongs to what it follows, a consonant to the coeng or
// virama before it, and the two halves of a letter that normalization took apart to each other.
#pragma once

#include <cstddef>
#include <cstdint>

#include "common/byte_table.h"
#include "matcher/alphabet.h"

namespace pivotkit {

class Clusters {
 public:
  Clusters(const Alphabet& alphabet, Bytes text) : alphabet_(alphabet), text_(text) {}

  // Whether a cluster that ends in `last` may go on with `next`, which does not attach. `go_on` decides.
  static bool may_go_on(Letter last, Letter next) noexcept {
    if (next.cluster() == ClusterClass::other) return last.cluster() == ClusterClass::prepend;
    return last.cluster() != ClusterClass::other;
  }

  // Whether a cluster goes on at text[at], where a letter begins or the text ends. A cluster begins at `floor`.
  bool go_on(std::size_t at, std::size_t floor) const noexcept {
    if (at <= floor || at >= text_.size) return false;
    const Letter letter = alphabet_[decode(text_.data + at, text_.size - at).value];
    const ClusterClass next = letter.cluster();
    if (next >= ClusterClass::extend) return true;
    std::size_t place = at;
    const ClusterClass last = step_back(place);
    if (last == ClusterClass::prepend) return next != ClusterClass::control && letter.kind() != CharClass::space;
    switch (next) {
      case ClusterClass::picture:
        return last == ClusterClass::joiner;
      case ClusterClass::no:
        return last == ClusterClass::ho;
      case ClusterClass::flag:
        return flags(at, floor) % 2 != 0;
      case ClusterClass::consonant:
        return follows(ClusterClass::stacker, at, floor);
      case ClusterClass::sara_aa:
        return follows(ClusterClass::nikhahit, at, floor);
      default:
        return false;
    }
  }

 private:
  // Steps over the code point that ends before text[at]; returns its class.
  ClusterClass step_back(std::size_t& at) const noexcept {
    do --at;
    while (at > 0 && (text_.data[at] & 0xC0) == 0x80);
    return alphabet_[decode(text_.data + at, text_.size - at).value].cluster();
  }
  std::size_t flags(std::size_t at, std::size_t floor) const noexcept {
    std::size_t count = 0;
    while (at > floor && step_back(at) == ClusterClass::flag) ++count;
    return count;
  }
  // Whether one of class `wanted` is among the attached ones directly before text[at].
  bool follows(ClusterClass wanted, std::size_t at, std::size_t floor) const noexcept {
    while (at > floor) {
      const ClusterClass last = step_back(at);
      if (last == wanted) return true;
      if (last < ClusterClass::extend) return false;
    }
    return false;
  }

  const Alphabet& alphabet_;
  Bytes text_;
};

}  // namespace pivotkit
