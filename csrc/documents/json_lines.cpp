#include "documents/json_lines.h"

#include <bitset>
#include <cstdint>
#include <cstring>

#include "documents/json_string.h"
#include "documents/utf8.h"

namespace pivotkit {
namespace {

constexpr std::size_t kDeepest = 1024;  // levels of a value

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
    if (!integer()) return false;
    if (take('.') && !digits()) return false;
    if (take('e') || take('E')) {
      if (!take('-')) take('+');
      return digits();
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
      case 'N':
        return word("NaN", 3);
      case 'I':
        return word("Infinity", 8);
      case '-':
        return word("-Infinity", 9) || number();
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
  if (!at('{') && !at('[')) return scalar();
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

// The string behind a key into `buffer`, or any other value passed over. False: no value.
bool string_or_other(Line& line, ByteBuffer& buffer, std::size_t begin, bool& is_string) noexcept {
  const std::uint8_t* value = line.p;
  is_string = line.take('"') && line.string(buffer, begin);
  if (is_string) return true;
  buffer.resize(begin);
  line.p = value;
  return line.value();
}

// What may stand where an id or a language is asked for.
enum class Optional { kAbsent, kPresent, kWrong };

// The id or language behind a key. False: no value.
bool optional_string(Line& line, ByteBuffer& buffer, std::size_t begin, bool numbers, Optional& kind) noexcept {
  const std::uint8_t* value = line.p;
  bool is_string = false;
  if (!string_or_other(line, buffer, begin, is_string)) return false;
  const auto size = static_cast<std::size_t>(line.p - value);
  const bool is_number = numbers && (static_cast<unsigned>(*value - '0') < 10 || (*value == '-' && value[1] != 'I'));
  kind = is_string || is_number ? Optional::kPresent : *value == 'n' ? Optional::kAbsent : Optional::kWrong;
  if (is_number) {
    const std::size_t sign = size == 2 && value[0] == '-' && value[1] == '0' ? 1 : 0;  // the integer -0 is 0
    std::memcpy(buffer.end(), value + sign, size - sign);
    buffer.resize(begin + size - sign);
  }
  return true;
}

// A list of strings into `buffer`, with + between them. False: something else.
bool string_list(Line& line, ByteBuffer& buffer, std::size_t begin, bool& is_empty) noexcept {
  buffer.resize(begin);
  is_empty = true;
  if (!line.take('[')) return false;
  line.space();
  if (line.take(']')) return true;
  do {
    line.space();
    const std::size_t before = buffer.size();
    if (!line.take('"') || !line.string(buffer, before + !is_empty)) return false;
    if (!is_empty) *(buffer.end() - (buffer.size() - before)) = '+';
    is_empty = false;
    line.space();
  } while (line.take(','));
  return line.take(']');
}

// The language behind a key, or the list of languages. False: no value.
bool languages(Line& line, ByteBuffer& buffer, std::size_t begin, Optional& kind) noexcept {
  if (!line.at('[')) return optional_string(line, buffer, begin, false, kind);
  const std::uint8_t* value = line.p;
  bool is_empty = false;
  if (string_list(line, buffer, begin, is_empty)) {
    kind = is_empty ? Optional::kAbsent : Optional::kPresent;
    return true;
  }
  buffer.resize(begin);
  kind = Optional::kWrong;
  line.p = value;
  return line.value();
}

// The name of a member without its escapes, in the line or behind the end of `scratch`. False: no string.
bool member_name(Line& line, ByteBuffer& scratch, Bytes& name) noexcept {
  if (!line.take('"')) return false;
  const std::uint8_t* begin = line.p;
  if (!line.string()) return false;
  name = {begin, static_cast<std::size_t>(line.p - begin - 1)};
  if (std::memchr(begin, '\\', name.size) == nullptr) return true;
  Write sink{scratch.end()};
  const bool whole = json_string(begin, line.end, sink);  // a name with a lone surrogate is none that is asked for
  name = {scratch.end(), whole ? static_cast<std::size_t>(sink.out - scratch.end()) : 0};
  return true;
}

bool is(const Bytes& name, const char* wanted) noexcept {
  return name.size == std::strlen(wanted) && std::memcmp(name.data, wanted, name.size) == 0;
}

// One document at the ends of the three buffers.
bool document(Line& line, DocumentBlock& block) {
  const std::size_t text = block.text.size(), id = block.ids.data.size(), lang = block.langs.data.size();
  bool has_text = false;
  Optional id_kind = Optional::kAbsent, lang_kind = Optional::kAbsent;
  line.space();
  if (!line.take('{')) return false;
  do {
    line.space();
    Bytes name{};
    if (!member_name(line, block.langs.data, name)) return false;
    line.space();
    if (!line.take(':')) return false;
    line.space();
    bool valid = true;
    if (is(name, "text")) {
      valid = string_or_other(line, block.text, text, has_text);
    } else if (is(name, "id")) {
      valid = optional_string(line, block.ids.data, id, true, id_kind);
    } else if (is(name, "lang") || is(name, "langs")) {
      valid = languages(line, block.langs.data, lang, lang_kind);
    } else {
      valid = line.value();
    }
    if (!valid) return false;
    line.space();
  } while (line.take(','));
  if (!line.take('}') || !has_text || id_kind == Optional::kWrong || lang_kind == Optional::kWrong) return false;
  line.space();
  if (line.p != line.end) return false;
  block.close(id_kind == Optional::kPresent, lang_kind == Optional::kPresent);
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
    const bool marked = stop - p >= 3 && std::memcmp(p, "\xef\xbb\xbf", 3) == 0;
    Line line{marked ? p + 3 : p, stop};
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
