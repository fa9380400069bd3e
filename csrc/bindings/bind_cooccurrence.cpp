// Document counting: NumPy arrays in, NumPy arrays out, the GIL released round the compute.
#include <cstdint>
#include <mutex>
#include <stdexcept>
#include <string>
#include <utility>

#include "bindings/arrays.h"
#include "bindings/register.h"
#include "cooccurrence/document_counter.h"

namespace pivotkit {
namespace {

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
