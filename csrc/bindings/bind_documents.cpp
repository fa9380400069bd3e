// Documents out of lines: NumPy arrays in, NumPy arrays out, the GIL released round the compute.
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "bindings/arrays.h"
#include "bindings/register.h"
#include "common/require.h"
#include "documents/json_lines.h"
#include "documents/text_hashes.h"
#include "documents/text_lines.h"

namespace pivotkit {
namespace {

// A block and its lock: with the GIL released two Python threads may call one block.
struct LockedBlock {
  explicit LockedBlock(std::size_t expected) : block(expected) {}

  DocumentBlock block;
  std::mutex mutex;
};

using Append = std::size_t (*)(Bytes, DocumentBlock&);

template <Append append>
std::size_t add_lines(LockedBlock& self, const Array<std::uint8_t>& lines, std::size_t begin, std::size_t end) {
  const std::size_t size = length(lines, "add_lines", "lines");
  if (begin > end || end > size)
    refuse("add_lines", "begin and end", text("lie in order within the ", size, " bytes of lines"),
           text(begin, " and ", end));
  const Bytes bytes{lines.data() + begin, end - begin};
  const py::gil_scoped_release release;
  const std::lock_guard<std::mutex> guard(self.mutex);
  return begin + append(bytes, self.block);
}

// Memory in an array's hands, and the shelf that it goes back to.
struct Lent {
  std::shared_ptr<Shelf> shelf;
  Memory memory;
};

py::array_t<std::uint8_t> hand_over(ByteBuffer& buffer) {
  const auto size = static_cast<py::ssize_t>(buffer.size());
  if (size == 0) return py::array_t<std::uint8_t>(0);
  auto lent = std::make_unique<Lent>(Lent{buffer.shelf(), buffer.take()});
  const std::uint8_t* data = lent->memory.bytes.get();
  const py::capsule owner(lent.get(), [](void* pointer) {
    const std::unique_ptr<Lent> back(static_cast<Lent*>(pointer));
    back->shelf->put(std::move(back->memory));
  });
  lent.release();
  return py::array_t<std::uint8_t>(size, data, owner);
}

py::tuple hand_over(OptionalStrings& strings) {
  const std::size_t absent = std::exchange(strings.absent, 0);
  py::array_t<std::uint8_t> data = hand_over(strings.data);
  return py::make_tuple(std::move(data), to_array(std::exchange(strings.offsets, {0})),
                        to_array(std::exchange(strings.valid, {})), absent);
}

py::tuple take(LockedBlock& self) {
  const std::lock_guard<std::mutex> guard(self.mutex);
  DocumentBlock& block = self.block;
  py::array_t<std::uint8_t> text = hand_over(block.text);
  return py::make_tuple(std::move(text), to_array(std::exchange(block.offsets, {0})),
                        to_array(std::exchange(block.rows, {})), hand_over(block.ids), hand_over(block.langs));
}

py::array_t<std::uint64_t> hashes_of(const Array<std::uint8_t>& texts, const Array<std::int64_t>& offsets,
                                     std::uint64_t seed) {
  const ByteTable table = byte_table(texts, offsets, "text_hashes", "texts");
  std::vector<std::uint64_t> hashes;
  {
    const py::gil_scoped_release release;
    hashes = text_hashes(table, seed);
  }
  return to_array(std::move(hashes));
}

}  // namespace

void register_documents(py::module_& m) {
  py::class_<LockedBlock>(m, "DocumentBlock", "Texts, ids, languages and rows of documents, taken out of lines.")
      .def(py::init<std::size_t>(), py::arg("expected") = 0)
      .def("add_json_lines", &add_lines<append_json_lines>, py::arg("lines").noconvert(), py::arg("begin"),
           py::arg("end"),
           "Take whole lines [begin, end); returns where the first line begins that is no document, or end.")
      .def("add_text_lines", &add_lines<append_text_lines>, py::arg("lines").noconvert(), py::arg("begin"),
           py::arg("end"), "The same for plain text; left is a line that is no UTF-8.")
      .def(
          "pass_line",
          [](LockedBlock& self) {
            const std::lock_guard<std::mutex> guard(self.mutex);
            ++self.block.next_row;
          },
          "The next line holds no document.")
      .def("take", &take, "Hand over what is held and begin anew with the next row.")
      .def("__len__",
           [](LockedBlock& self) {
             const std::lock_guard<std::mutex> guard(self.mutex);
             return self.block.size();
           })
      .def_property_readonly("next_row",
                             [](LockedBlock& self) {
                               const std::lock_guard<std::mutex> guard(self.mutex);
                               return self.block.next_row;
                             })
      .def_property_readonly("nbytes", [](LockedBlock& self) {
        const std::lock_guard<std::mutex> guard(self.mutex);
        return self.block.bytes();
      });
  m.def("text_hashes", &hashes_of, py::arg("texts").noconvert(), py::arg("offsets").noconvert(), py::arg("seed"),
        "64 bits of each text and the seed, the same on every machine.");
}

}  // namespace pivotkit
