#include "documents/text_lines.h"

#include <cstdint>
#include <cstring>

#include "documents/utf8.h"

namespace pivotkit {
std::size_t append_text_lines(Bytes lines, DocumentBlock& block) {
  if (lines.size == 0) return 0;
  block.text.reserve(lines.size);
  const std::uint8_t* p = lines.data;
  const std::uint8_t* end = p + lines.size;
  while (p != end) {
    const auto* newline = static_cast<const std::uint8_t*>(std::memchr(p, '\n', static_cast<std::size_t>(end - p)));
    const std::uint8_t* stop = newline == nullptr ? end : newline;
    const std::uint8_t* last = stop != p && stop[-1] == '\r' ? stop - 1 : stop;
    if (!is_utf8(p, last)) return static_cast<std::size_t>(p - lines.data);
    if (last == p) {
      ++block.next_row;
    } else {
      const auto size = static_cast<std::size_t>(last - p);
      std::memcpy(block.text.end(), p, size);
      block.text.resize(block.text.size() + size);
      block.close(false, false);
    }
    p = newline == nullptr ? end : newline + 1;
  }
  return lines.size;
}

}  // namespace pivotkit
