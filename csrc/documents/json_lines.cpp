#include "documents/json_lines.h"

#include <bitset>
#include <cstdint>
#include <cstring>

#include "documents/json_string.h"
#include "documents/utf8.h"

namespace pivotkit {
namespace {

constexpr std::size_t kDeepest = 512;
constexpr std::ptrdiff_t kLongestNumber = 200;  // with an exponent of two digits at most: less than 1e300
constexpr std::ptrdiff_t kLongestId = 18;       // digits: every such integer fits 64 bits

// One line; every member moves `p` and says whether all is as it must be.
struct Line {
  const std::uint8_t* p;
  const std::uint8_t* end;

  bool at(char wanted) const noexcept { return p != end && *p == static_cast<std::uint8_t>(wanted); }
  bool take(char wanted) noexcept {
    if (!at(wanted)) return false;
    ++p;
    return true;
  }
  bool word(const char* wanted, std::size_t size) noexcept {
    if (static_cast<std::size_t>(end - p) < size || std::memcmp(p, wanted, size) != 0) return false;
    p += size;
    return true;
  }
  void space() noexcept {  // a newline is none here: a line has none
    while (p != end && (*p == ' ' || *p == '\t' || *p == '\r')) ++p;
  }
  bool digits() noexcept {
    const std::uint8_t* begin = p;
    while (p != end && static_cast<unsigned>(*p - '0') < 10) ++p;
    return p != begin;
  }
  bool integer() noexcept {
    take('-');
    if (take('0')) return true;
    return digits();
  }
  bool number() noexcept {
    const std::uint8_t* begin = p;
    if (!integer()) return false;
    if (take('.') && !digits()) return false;
    if (p - begin > kLongestNumber) return false;
    if (at('e') || at('E')) {
      ++p;
      if (!take('-')) take('+');
      const std::uint8_t* exponent = p;
      if (!digits() || p - exponent > 2) return false;
    }
    return true;
  }
  bool string() noexcept {
    Discard none;
    return json_string(p, end, none);
  }
  // A string into `buffer`, in place of what was written there beyond `begin`.
  bool string(ByteBuffer& buffer, std::size_t begin) noexcept {
    buffer.resize(begin);
    Write sink{buffer.end()};
    if (!json_string(p, end, sink)) return false;
    buffer.resize(begin + static_cast<std::size_t>(sink.out - buffer.end()));
    return true;
  }
  bool scalar() noexcept {
    if (p == end) return false;
    switch (*p) {
      case '"':
        ++p;
        return string();
      case 't':
        return word("true", 4);
      case 'f':
        return word("false", 5);
      case 'n':
        return word("null", 4);
      default:
        return number();
    }
  }
  bool key() noexcept {
    if (!take('"') || !string()) return false;
    space();
    return take(':');
  }
  bool value() noexcept;
};

// A value of any kind that is only checked.
bool Line::value() noexcept {
  std::bitset<kDeepest> objects;  // what each open level is
  std::size_t depth = 0;
  for (;;) {
    space();
    if (at('{') || at('[')) {
      const bool object = *p++ == '{';
      space();
      if (!take(object ? '}' : ']')) {
        if (depth == kDeepest) return false;
        objects[depth++] = object;
        if (object && !key()) return false;
        continue;
      }
    } else if (!scalar()) {
      return false;
    }
    for (;;) {  // behind a value
      if (depth == 0) return true;
      space();
      const bool object = objects[depth - 1];
      if (take(',')) {
        space();
        if (object && !key()) return false;
        break;
      }
      if (!take(object ? '}' : ']')) return false;
      --depth;
    }
  }
}

// The id or language that a key announces; `present` says whether it is more than null.
bool optional_string(Line& line, ByteBuffer& buffer, std::size_t begin, bool integers, bool& present) noexcept {
  buffer.resize(begin);
  present = true;
  if (line.take('"')) return line.string(buffer, begin);
  if (line.at('n')) {
    present = false;
    return line.word("null", 4);
  }
  const std::uint8_t* digits = line.p;
  if (!integers || !line.integer() || line.at('.') || line.at('e') || line.at('E')) return false;
  const std::ptrdiff_t size = line.p - digits;
  if (size > kLongestId || (size == 2 && digits[0] == '-' && digits[1] == '0')) return false;
  std::memcpy(buffer.end(), digits, static_cast<std::size_t>(size));
  buffer.resize(begin + static_cast<std::size_t>(size));
  return true;
}

// One document at the ends of the three buffers.
bool document(Line& line, DocumentBlock& block) {
  const std::size_t text = block.text.size(), id = block.ids.data.size(), lang = block.langs.data.size();
  bool has_text = false, has_id = false, has_lang = false;
  line.space();
  if (!line.take('{')) return false;
  do {
    line.space();
    const std::uint8_t* name = line.p + 1;
    if (!line.take('"') || !line.string()) return false;
    const auto size = static_cast<std::size_t>(line.p - name - 1);
    if (std::memchr(name, '\\', size) != nullptr) return false;
    line.space();
    if (!line.take(':')) return false;
    line.space();
    bool valid = true;
    if (size == 4 && std::memcmp(name, "text", 4) == 0) {
      valid = has_text = line.take('"') && line.string(block.text, text);
    } else if (size == 2 && std::memcmp(name, "id", 2) == 0) {
      valid = optional_string(line, block.ids.data, id, true, has_id);
    } else if (size == 4 && std::memcmp(name, "lang", 4) == 0) {
      valid = optional_string(line, block.langs.data, lang, false, has_lang);
    } else {
      valid = line.value();
    }
    if (!valid) return false;
    line.space();
  } while (line.take(','));
  if (!line.take('}') || !has_text) return false;
  line.space();
  if (line.p != line.end) return false;
  block.close(has_id, has_lang);
  return true;
}

}  // namespace

std::size_t append_json_lines(Bytes lines, DocumentBlock& block) {
  if (lines.size == 0) return 0;
  for (ByteBuffer* buffer : {&block.text, &block.ids.data, &block.langs.data})
    buffer->reserve(lines.size + Wide::kBytes);
  const std::uint8_t* p = lines.data;
  const std::uint8_t* end = p + lines.size;
  while (p != end) {
    const auto* newline = static_cast<const std::uint8_t*>(std::memchr(p, '\n', static_cast<std::size_t>(end - p)));
    const std::uint8_t* stop = newline == nullptr ? end : newline;
    const std::size_t text = block.text.size(), id = block.ids.data.size(), lang = block.langs.data.size();
    Line line{p, stop};
    if (!is_utf8(p, stop) || !document(line, block)) {
      block.text.resize(text);
      block.ids.data.resize(id);
      block.langs.data.resize(lang);
      return static_cast<std::size_t>(p - lines.data);
    }
    p = newline == nullptr ? end : newline + 1;
  }
  return lines.size;
}

}  // namespace pivotkit
