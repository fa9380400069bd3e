#include "matcher/char_class.h"

#include <algorithm>
#include <stdexcept>
#include <string>

namespace pivotkit {

CharClasses::CharClasses(const std::uint8_t* table) : block_of_(kCodePoints / 256) {
  const auto bad = std::find_if(table, table + kCodePoints, [](std::uint8_t kind) { return kind > 2; });
  if (bad != table + kCodePoints)
    throw std::invalid_argument("Matcher: classes must be 0, 1 or 2; got " + std::to_string(*bad));
  std::copy_n(table, ascii_.size(), ascii_.begin());
  for (std::size_t block = 0; block < block_of_.size(); ++block) {
    const std::uint8_t* entries = table + block * 256;
    std::size_t known = 0;  // few blocks differ, so comparing with each costs nothing that matters
    while (known * 256 < blocks_.size() && !std::equal(entries, entries + 256, blocks_.data() + known * 256)) ++known;
    if (known * 256 == blocks_.size()) blocks_.insert(blocks_.end(), entries, entries + 256);
    block_of_[block] = static_cast<std::uint16_t>(known);
  }
}

}  // namespace pivotkit
