#include "documents/text_lines.h"

#include <cstdint>
#include <cstring>

#include "documents/utf8.h"
#include "documents/wide.h"

namespace pivotkit {
namespace {

bool is_utf8(const std::uint8_t* p, const std::uint8_t* end) noexcept {
  while (p != end) {
    if (*p >= 0x80) {
      const unsigned length = sequence_length(four_bytes(p, end));
      if (length == 0) return false;
      p += length;
    } else if (end - p >= static_cast<std::ptrdiff_t>(Wide::kBytes)) {
      const auto marked = Wide::load(p).not_ascii();
      p += marked == 0 ? Wide::kBytes : Wide::first(marked);
    } else {
      ++p;
    }
  }
  return true;
}

}  // namespace

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
