// Watch-list matching and document counting: NumPy arrays in, NumPy arrays out, the GIL released round the compute.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <mutex>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "bindings/register.h"
#include "common/byte_table.h"
#include "cooccurrence/document_counter.h"
#include "matcher/matcher.h"

namespace py = pybind11;

namespace pivotkit {
namespace {

template <class T>
using Array = py::array_t<T, py::array::c_style>;

// A vector becomes an array that owns it: no copy.
template <class T>
py::array_t<T> to_array(std::vector<T>&& values) {
  auto* owned = new std::vector<T>(std::move(values));
  const py::capsule owner(owned, [](void* pointer) { delete static_cast<std::vector<T>*>(pointer); });
  return py::array_t<T>(static_cast<py::ssize_t>(owned->size()), owned->data(), owner);
}

template <class T>
py::array_t<T> to_array(const std::vector<T>& values) {
  return py::array_t<T>(static_cast<py::ssize_t>(values.size()), values.data());
}

template <class T>
std::size_t length(const Array<T>& array, const std::string& name) {
  if (array.ndim() != 1)
    throw std::invalid_argument(name + " must be one-dimensional; got " + std::to_string(array.ndim()) + " dimensions");
  return static_cast<std::size_t>(array.shape(0));
}

std::size_t rows_of(const Array<std::int64_t>& offsets, std::size_t total, const std::string& name) {
  const std::size_t size = length(offsets, name);
  if (size == 0) throw std::invalid_argument(name + " must hold at least one entry; got none");
  check_offsets(name, offsets.data(), size - 1, total);
  return size - 1;
}

ByteTable byte_table(const Array<std::uint8_t>& data, const Array<std::int64_t>& offsets, const std::string& name) {
  const std::size_t count = rows_of(offsets, length(data, name), name + ": offsets");
  return {data.data(), offsets.data(), count};
}

Matcher make_matcher(const Array<std::uint8_t>& data, const Array<std::int64_t>& offsets,
                     const Array<std::uint8_t>& classes) {
  if (length(classes, "Matcher: classes") != kCodePoints)
    throw std::invalid_argument("Matcher: classes must hold one byte for each of 1114112 code points; got " +
                                std::to_string(classes.shape(0)));
  const ByteTable words = byte_table(data, offsets, "Matcher: words");
  const py::gil_scoped_release release;
  return Matcher(words, classes.data());
}

py::tuple match(const Matcher& matcher, const Array<std::uint8_t>& data, const Array<std::int64_t>& offsets) {
  const ByteTable documents = byte_table(data, offsets, "match: documents");
  Hits hits;
  {
    const py::gil_scoped_release release;
    hits = matcher.match(documents);
  }
  return py::make_tuple(to_array(std::move(hits.offsets)), to_array(std::move(hits.words)),
                        to_array(std::move(hits.counts)));
}

// A counter and its lock: with the GIL released two Python threads may call one counter.
struct Counter {
  Counter(std::size_t words, const Array<std::int32_t>& pairs, std::size_t vocabulary, std::size_t expected_tokens)
      : counts(words, pairs.data(), pair_count(pairs), vocabulary, expected_tokens) {}

  static std::size_t pair_count(const Array<std::int32_t>& pairs) {
    if (pairs.ndim() != 2 || pairs.shape(1) != 2)
      throw std::invalid_argument("DocumentCounter: pairs must have shape (pairs, 2)");
    return static_cast<std::size_t>(pairs.shape(0));
  }

  template <class Compute>
  auto locked(Compute&& compute) {
    const py::gil_scoped_release release;
    const std::lock_guard<std::mutex> guard(mutex);
    return compute();
  }

  DocumentCounter counts;
  std::mutex mutex;
};

void add(Counter& counter, const Array<std::int64_t>& offsets, const Array<std::int32_t>& words,
         const Array<std::int32_t>& occurrences, const py::object& tokens, const py::object& token_offsets) {
  const std::size_t total = length(words, "add: words");
  if (length(occurrences, "add: counts") != total)
    throw std::invalid_argument("add: counts must be as many as words; got " + std::to_string(occurrences.shape(0)));
  const std::size_t documents = rows_of(offsets, total, "add: offsets");
  if (tokens.is_none() != token_offsets.is_none())
    throw std::invalid_argument("add: tokens and token_offsets must come together; got one of them");
  if (tokens.is_none()) {
    counter.locked([&] { counter.counts.add(offsets.data(), words.data(), occurrences.data(), documents); });
    return;
  }
  if (!py::isinstance<Array<std::uint32_t>>(tokens) || !py::isinstance<Array<std::int64_t>>(token_offsets))
    throw py::type_error("add: tokens must be a contiguous uint32 array and token_offsets an int64 array");
  const auto flat = py::cast<Array<std::uint32_t>>(tokens);
  const auto ends = py::cast<Array<std::int64_t>>(token_offsets);
  if (rows_of(ends, length(flat, "add: tokens"), "add: token_offsets") != documents)
    throw std::invalid_argument("add: token_offsets must describe " + std::to_string(documents) + " documents; got " +
                                std::to_string(ends.shape(0) - 1));
  counter.locked([&] {
    counter.counts.add(offsets.data(), words.data(), occurrences.data(), documents, ends.data(), flat.data());
  });
}

py::tuple context(Counter& counter, std::size_t begin, std::size_t end) {
  ContextRows rows = counter.locked([&] { return counter.counts.context(begin, end); });
  return py::make_tuple(to_array(std::move(rows.offsets)), to_array(std::move(rows.tokens)),
                        to_array(std::move(rows.counts)));
}

}  // namespace

void register_cooccurrence(py::module_& m) {
  py::class_<Matcher>(m, "Matcher", "Finds the words of a watch list in normalized UTF-8 text.")
      .def(py::init(&make_matcher), py::arg("words").noconvert(), py::arg("offsets").noconvert(),
           py::arg("classes").noconvert())
      .def("match", &match, py::arg("documents").noconvert(), py::arg("offsets").noconvert(),
           "The words of each document: offsets (N + 1) int64, word ids int32, occurrences int32.")
      .def("__len__", &Matcher::size)
      .def_property_readonly("nbytes", &Matcher::bytes, "Memory that the matcher holds, in bytes.");

  py::class_<Counter>(m, "DocumentCounter", "Counts words, pairs of words and their context tokens over documents.")
      .def(py::init<std::size_t, const Array<std::int32_t>&, std::size_t, std::size_t>(), py::arg("words"),
           py::arg("pairs").noconvert(), py::arg("vocabulary") = 0, py::arg("expected_tokens") = 0)
      .def("add", &add, py::arg("offsets").noconvert(), py::arg("words").noconvert(), py::arg("counts").noconvert(),
           py::arg("tokens") = py::none(), py::arg("token_offsets") = py::none(),
           "Count the documents whose hits (and, with a vocabulary, tokens) are given.")
      .def("context", &context, py::arg("begin"), py::arg("end"),
           "Rows of the context table: offsets int64, token ids int32, documents int64.")
      .def("context_bounds",
           [](Counter& c) { return to_array(c.locked([&] { return c.counts.context_bounds(); })); },
           "The most entries that each row of the context table can have, int64.")
      .def_property_readonly("documents", [](const Counter& c) { return c.counts.documents(); })
      .def_property_readonly("df", [](const Counter& c) { return to_array(c.counts.df()); })
      .def_property_readonly("tf", [](const Counter& c) { return to_array(c.counts.tf()); })
      .def_property_readonly("pair_df", [](const Counter& c) { return to_array(c.counts.pair_df()); })
      .def_property_readonly("background", [](const Counter& c) { return to_array(c.counts.background()); });
}

}  // namespace pivotkit
