#include "matcher/token_texts.h"

#include <algorithm>
#include <array>

#include "unicode/code_points.h"

namespace pivotkit {
namespace {

bool continues(std::uint8_t byte) noexcept { return (byte & 0xC0) == 0x80; }

// The number of code points, or -1 if the text is ill-formed.
std::int64_t code_points(const std::uint8_t* data, std::size_t size) noexcept {
  std::int64_t count = 0;
  for (std::size_t at = 0; at < size; ++count) {
    const CodePoint code = decode(data + at, size - at);
    if (code.value == kReplacement && (code.length != 3 || data[at] != 0xEF)) return -1;
    at += code.length;
  }
  return count;
}

// Where the last character begins if it is cut short, or the size.
std::size_t whole_end(const std::vector<std::uint8_t>& text, std::size_t begin) noexcept {
  std::size_t lead = text.size();
  while (lead > begin && text.size() - lead < 3 && continues(text[lead - 1])) --lead;
  if (lead == begin) return text.size();
  --lead;
  const std::uint8_t byte = text[lead];
  const std::size_t length = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : byte >= 0xC0 ? 2 : 1;
  return lead + length > text.size() ? lead : text.size();
}

std::uint32_t whole(Bytes bytes) noexcept {
  const CodePoint code = decode(bytes.data, bytes.size);
  return code.length == bytes.size ? code.value : kReplacement;
}

}  // namespace

TokenTexts::TokenTexts(ByteTable texts, const std::uint8_t* flags)
    : data_(texts.data, texts.data + texts.offsets[texts.size]),
      offsets_(texts.offsets, texts.offsets + texts.size + 1), flags_(flags, flags + texts.size) {
  has_gaps_ = std::any_of(flags_.begin(), flags_.end(),
                          [](std::uint8_t flag) { return (flag & (kGapBefore | kGapAfter)) != 0; });
}

template <class Id>
std::uint32_t TokenTexts::character_before(const Id* ids, std::size_t size, std::size_t at) const {
  std::array<std::uint8_t, 4> bytes;
  std::size_t begin = bytes.size();
  for (; at > 0; --at) {
    if (at < size && gap(ids[at - 1], ids[at])) break;
    const Bytes more = text(ids[at - 1]);
    for (std::size_t i = more.size; i-- > 0;) {
      if (begin == 0) return kReplacement;
      bytes[--begin] = more.data[i];
      if (!continues(more.data[i])) return whole({bytes.data() + begin, bytes.size() - begin});
    }
  }
  return begin == bytes.size() ? ' ' : kReplacement;
}

template <class Id>
std::uint32_t TokenTexts::character_at(const Id* ids, std::size_t size, std::size_t at) const {
  std::array<std::uint8_t, 4> bytes;
  std::size_t count = 0;
  for (std::size_t next = at; next < size; ++next) {
    if (next > 0 && gap(ids[next - 1], ids[next])) break;
    const Bytes more = text(ids[next]);
    for (std::size_t i = 0; i < more.size; ++i) {
      if (count == 0 && continues(more.data[i])) return kReplacement;
      if (count > 0 && !continues(more.data[i])) return whole({bytes.data(), count});
      if (count == bytes.size()) return kReplacement;
      bytes[count++] = more.data[i];
      if (bytes[0] < 0x80) return bytes[0];
    }
  }
  return count == 0 ? ' ' : whole({bytes.data(), count});
}

template <class Id>
bool TokenTexts::around(const Id* ids, std::size_t size, std::size_t begin, std::size_t end, Surroundings& out) const {
  std::vector<std::uint8_t>& result = out.text;
  result.clear();
  std::size_t first = begin;
  for (std::size_t reach = 0; first > 0 && reach < kReach && !is_unknown(ids[first - 1]);
       reach += text(ids[first]).size)
    --first;
  const auto add = [&](std::size_t at) {
    if (at > 0 && gap(ids[at - 1], ids[at])) result.push_back(' ');
    const Bytes more = text(ids[at]);
    result.insert(result.end(), more.data, more.data + more.size);
  };
  out.goes_on_before = first > 0;
  while (first < begin) add(first++);
  if (out.goes_on_before) {  // a character that is cut short may lie in several tokens
    std::size_t cut = 0;
    while (cut < result.size() && cut < 3 && continues(result[cut])) ++cut;
    result.erase(result.begin(), result.begin() + static_cast<std::ptrdiff_t>(cut));
    result.insert(result.begin(), 'a');
  }
  std::size_t word = result.size();
  for (std::size_t at = begin; at < end; ++at) add(at);
  const bool opens = word < result.size() && result[word] == ' ';
  while (word < result.size() && result[word] == ' ') ++word;
  if (begin > 0 && !opens && is_unknown(ids[begin - 1])) return false;
  const std::size_t after = result.size();
  std::size_t last = end;
  while (last < size && result.size() - after < kReach && !is_unknown(ids[last])) add(last++);
  const bool closes = after < result.size() && result[after] == ' ';
  if (end < size && !closes && is_unknown(ids[end])) return false;
  out.goes_on_behind = last < size;
  if (out.goes_on_behind) {
    result.resize(whole_end(result, after));
    result.push_back('a');
  }
  const std::int64_t before = code_points(result.data(), word);
  const std::int64_t own = code_points(result.data() + word, after - word);
  if (before < 0 || own < 0 || code_points(result.data() + after, result.size() - after) < 0) return false;
  out.begin = static_cast<std::size_t>(before);
  out.end = static_cast<std::size_t>(before + own);
  return true;
}

template std::uint32_t TokenTexts::character_before(const std::uint16_t*, std::size_t, std::size_t) const;
template std::uint32_t TokenTexts::character_before(const std::uint32_t*, std::size_t, std::size_t) const;
template std::uint32_t TokenTexts::character_at(const std::uint16_t*, std::size_t, std::size_t) const;
template std::uint32_t TokenTexts::character_at(const std::uint32_t*, std::size_t, std::size_t) const;
template bool TokenTexts::around(const std::uint16_t*, std::size_t, std::size_t, std::size_t, Surroundings&) const;
template bool TokenTexts::around(const std::uint32_t*, std::size_t, std::size_t, std::size_t, Surroundings&) const;

}  // namespace pivotkit
