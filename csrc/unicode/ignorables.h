// Code points that are left out of a text (Default_Ignorable_Code_Point), and those of them that stay in an emoji.
//
// A run of them is left out whole, but for two things. Behind a pictograph or a skin tone its tags stay, which make a
// flag of a region. There also stays one joiner, if the run has one and a pictograph follows it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "common/byte_table.h"
#include "common/require.h"
#include "unicode/code_points.h"
#include "unicode/normal_form.h"

namespace pivotkit {

enum class Role : std::uint8_t {
  none = 0,
  alone = 1,     // left out
  attached = 2,  // left out, and part of the character before it
  joiner = 3,    // U+200D
  tag = 4,       // U+E0020 to U+E007F
  picture = 5,   // a pictograph
  tone = 6       // a skin tone
};

class Ignorables {
 public:
  // `roles` (kCodePoints) holds Role values. Throws std::invalid_argument for others.
  explicit Ignorables(const std::uint8_t* roles) : roles_(roles) {
    for (std::uint32_t code = 0; code < kCodePoints; ++code)
      if (roles[code] > 6) refuse("Normalizer", "roles", "be below 7", roles[code]);
  }

  Role role(std::uint32_t code_point) const noexcept { return static_cast<Role>(roles_[code_point]); }
  bool has(std::uint32_t code_point) const noexcept {
    return roles_[code_point] - 1U < static_cast<std::uint32_t>(Role::tag);
  }

  // Appends to `kept` what stays of the run that begins at text[at]; returns where the run ends.
  std::size_t pass(Bytes text, std::size_t at, CodePoints& kept) const {
    const Role before = at == 0 ? Role::none : role(code_point_before(text, at));
    const bool is_emoji = before == Role::picture || before == Role::tone;
    std::uint32_t joiner = 0;
    while (at < text.size) {
      const CodePoint code = decode(text.data + at, text.size - at);
      if (!has(code.value)) {
        if (is_emoji && joiner != 0 && role(code.value) == Role::picture) kept.push_back(joiner);
        break;
      }
      if (role(code.value) == Role::joiner) joiner = code.value;
      if (is_emoji && role(code.value) == Role::tag) kept.push_back(code.value);
      at += code.length;
    }
    return at;
  }

  std::size_t bytes() const noexcept { return roles_.bytes(); }

 private:
  CodePointTable<std::uint8_t> roles_;
};

}  // namespace pivotkit
