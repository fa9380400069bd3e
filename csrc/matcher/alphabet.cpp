#include "matcher/alphabet.h"

#include <algorithm>
#include <string>

#include "common/require.h"

namespace pivotkit {
namespace {

std::vector<Letter> letters_of(const std::uint8_t* traits) {
  std::vector<Letter> letters(kCodePoints);
  for (std::uint32_t code = 0; code < kCodePoints; ++code) {
    if (traits[code] / 4 > static_cast<std::uint8_t>(ClusterClass::enclosing))
      refuse("Matcher", "letters", "have cluster classes of at most 20", traits[code] / 4);
    letters[code] = Letter(traits[code]);
  }
  return letters;
}

}  // namespace

Alphabet::Alphabet(const std::uint8_t* letters) : letters_(letters_of(letters).data()) {
  for (std::uint32_t code = 0; code < kCodePoints; ++code)
    if (letters_[code].kind() == CharClass::space) spaces_.push_back(code);
  for (std::uint32_t code = 0; code < ascii_.size(); ++code) {
    ascii_[code] = letters_[code];
    const bool word = (code >= 'a' && code <= 'z') || (code >= '0' && code <= '9') || code == '_';
    const bool space = (code >= '\t' && code <= '\r') || code == ' ';
    const CharClass kind = ascii_[code].kind();
    const bool upper = code >= 'A' && code <= 'Z';  // never seen: text is folded
    const bool lies = (kind == CharClass::word) != word || (space && kind != CharClass::space) ||
                      (code == 0 && kind != CharClass::separator);
    if (ascii_[code].attaches() || kind == CharClass::unspaced || (lies && !upper))
      refuse("Matcher", "letters", "call ASCII what it is", text(letters[code], " for ", code));
  }
}

std::uint32_t Alphabet::symbol(std::uint32_t code_point) {
  if (const std::uint32_t known = letters_[code_point].symbol(); known != 0) return known;
  const std::uint32_t made = symbols_++;
  if (symbols_ % 32 == 0) ++symbols_;
  const auto set = [&](std::uint32_t code) {
    letters_.edit(code).set_symbol(made);
    if (code < ascii_.size()) ascii_[code].set_symbol(made);
  };
  if (letters_[code_point].kind() == CharClass::space)
    std::for_each(spaces_.begin(), spaces_.end(), set);
  else
    set(code_point);
  return made;
}

}  // namespace pivotkit
