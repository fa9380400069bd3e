#include "unembed/certified.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <iterator>
#include <limits>

#include "common/parallel.h"
#include "unembed/certify.h"
#include "unembed/check.h"
#include "unembed/dispatch.h"
#include "unembed/merge.h"
#include "unembed/plan.h"
#include "unembed/screen_cost.h"
#include "unembed/top_k.h"

namespace pivotkit {

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Of so many rows, the first few are screened alone, and say how many ids stay open. With fewer rows, reading the
// vocabulary once more for them would cost more than it can save.
constexpr std::int64_t kManyRows = 512, kFirstRows = 16;

std::size_t size(std::int64_t count) { return static_cast<std::size_t>(count); }

class ScreenBlock {
 public:
  ScreenBlock(const UnembedRequest& request, const QuantizedWeight& quantized, const CertifiedOutput& output,
              const ScreenPlan& plan, const Kernels& kernels, const Products& products)
      : request_(request), quantized_(quantized), output_(output), plan_(plan), kernels_(kernels), products_(products),
        lanes_(lanes_of(request.weight.cols, products.run)), groups_(padded_cols(request.weight.cols) / 4),
        errors_(request, quantized) {
    hidden_.resize(size(plan.block * request.weight.cols));
    if (products.run != 0) pairs_.resize(size(plan.block * lanes_));
    steps_.resize(size(plan.block * groups_ * kernels.screen->digits));
    bounds_.resize(size(plan.block));
    partials_.resize(size(plan.spans * plan.block * kStates));
    given_up_ = std::vector<std::atomic<bool>>(size(plan.block));
    for (int i = 0; i < plan.threads; ++i) workers_.emplace_back(request, plan, kernels);
  }

  void run(std::int64_t first_row, std::int64_t rows) {
    first_row_ = first_row;
    rows_ = rows;
    panels_ = Panels(rows, kernels_.screen->rows);
    for (std::atomic<bool>& row : given_up_) row = false;
    open_ = certified_ = 0;
    parallel_for(panels_.count, 1, plan_.threads, [&](std::int64_t panel, std::int64_t, int) { load_panel(panel); });
    for (ScreenWorker& worker : workers_) {
      std::fill(worker.sizes.begin(), worker.sizes.end(), 0);
      std::fill(worker.ranks.begin(), worker.ranks.end(), 0);
      std::fill(worker.open_counts.begin(), worker.open_counts.end(), 0);
      std::fill(worker.thresholds.begin(), worker.thresholds.end(), -kInfinity);
    }
    parallel_for(plan_.spans, 1, plan_.threads, [&](std::int64_t span, std::int64_t, int worker) {
      run_span(span, workers_[static_cast<std::size_t>(worker)]);
    });
    parallel_for(rows_, 4, plan_.threads, [&](std::int64_t begin, std::int64_t end, int) {
      for (std::int64_t row = begin; row < end; ++row) finish_row(row);
    });
  }

  // Whether rows like those of the last run are answered sooner by screening.
  bool pays(const ScreenCost& cost) const {
    const auto rows = static_cast<double>(rows_);
    const double open = static_cast<double>(open_) / static_cast<double>(request_.weight.rows);
    return cost.pays(open / rows, 1.0 - static_cast<double>(certified_) / rows);
  }

 private:
  Head head() const { return {request_.bias, request_.logit_scale, request_.softcap}; }
  WeightRows weight() const {
    return {request_.weight.data, request_.weight.type, request_.weight.row_stride, request_.weight.cols};
  }
  const float* target_logits(std::int64_t row) const {
    return output_.values.target_logits + (first_row_ + row) * request_.target_count;
  }

  // A panel's rows as exact() wants them.
  const float* exact_rows(std::int64_t begin) const { return &(pairs_.empty() ? hidden_ : pairs_)[begin * lanes_]; }

  // Lays a panel's rows out, finds their targets' logits, quantizes them and bounds their errors.
  void load_panel(std::int64_t panel) {
    const std::int64_t begin = panels_.begin(panel), rows = panels_.begin(panel + 1) - begin;
    const std::int64_t dim = request_.weight.cols;
    float* hidden = &hidden_[static_cast<std::size_t>(begin * dim)];
    const std::int64_t digits = kernels_.screen->digits, run = kernels_.screen->run;
    std::int32_t* steps = &steps_[static_cast<std::size_t>(begin * groups_ * digits)];
    const Rotation rotation(dim);
    std::vector<std::int8_t> row_steps(static_cast<std::size_t>(groups_ * 4));
    for (std::int64_t row = 0; row < rows; ++row) {
      const std::int64_t m = first_row_ + begin + row, at = m * request_.target_count;
      load_row(request_.hidden, m, row, rows, 0, hidden);
      if (!pairs_.empty()) load_row(request_.hidden, m, row, rows, products_.run, &pairs_[begin * lanes_]);
      if (request_.target_count != 0)
        products_.exact(exact_rows(begin), static_cast<int>(rows), static_cast<int>(row), weight(), head(),
                        request_.targets + at, static_cast<int>(request_.target_count),
                        output_.values.target_logits + at);
      const QuantizedRow quantized = quantize_row(rotation, hidden + row, rows, row_steps.data());
      std::int32_t sum = 0;
      for (const std::int8_t step : row_steps) sum += step;
      for (std::int64_t g = 0; g < groups_; ++g)
        put_digits(&row_steps[4 * static_cast<std::size_t>(g)], kernels_.screen->digits,
                   steps + ((g / run * rows + row) * run + g % run) * digits);
      const auto place = static_cast<std::size_t>(begin + row);
      bounds_[place] = errors_.bound(quantized, 128 * sum);
      // Beyond this an exponential of the bound is of no use, and a product may not even fit float32.
      given_up_[place] = !(errors_.largest(bounds_[place]) < 64.0);
    }
  }

  void run_span(std::int64_t span, ScreenWorker& worker) {
    const std::int64_t begin = span * plan_.span, end = std::min(begin + plan_.span, request_.weight.rows);
    for (std::int64_t i = 0; i < rows_ * kStates * kLanes; ++i)
      worker.states[static_cast<std::size_t>(i)] = i / kLanes % kStates == 0 ? kLowest : 0.0f;
    for (std::int64_t first = begin; first < end; first += plan_.tile)
      run_tile(first, static_cast<int>(std::min<std::int64_t>(plan_.tile, end - first)), worker);
    for (std::int64_t row = 0; row < rows_; ++row)
      kernels_.floats->fold(&worker.states[static_cast<std::size_t>(row * kStates * kLanes)], false,
                            &partials_[static_cast<std::size_t>((span * plan_.block + row) * kStates)]);
  }

  void run_tile(std::int64_t first, int ids, ScreenWorker& worker) {
    ScreenPanel panel{};
    panel.groups = groups_;
    panel.weight = quantized_.digits + first * groups_ * 4;
    panel.scales = quantized_.scales + first;
    panel.residuals = quantized_.residuals + first;
    panel.norms = quantized_.norms + first;
    panel.first = first;
    panel.ids = ids;
    panel.head = head();
    panel.targets = static_cast<int>(request_.target_count);
    panel.logits = worker.logits.data();
    panel.errors = worker.errors.data();
    panel.hits = worker.hits.data();
    panel.hit_counts = worker.hit_counts.data();
    for (std::int64_t p = 0; p < panels_.count; ++p) {
      const std::int64_t begin = panels_.begin(p);
      if (all_given_up(begin, panels_.begin(p + 1))) continue;
      panel.hidden = steps_.data() + begin * groups_ * kernels_.screen->digits;
      panel.rows = static_cast<int>(panels_.begin(p + 1) - begin);
      panel.bounds = bounds_.data() + begin;
      panel.states = worker.states.data() + begin * kStates * kLanes;
      panel.threshold = worker.thresholds.data() + begin;
      panel.target_logits = request_.target_count == 0 ? nullptr : target_logits(begin);
      panel.target_ranks = worker.ranks.data() + begin * request_.target_count;
      kernels_.screen->panel(panel);
      for (int i = 0; i < panel.rows; ++i) keep_open(panel, i, begin + i, worker);
    }
  }

  bool all_given_up(std::int64_t begin, std::int64_t end) const {
    return std::all_of(given_up_.begin() + begin, given_up_.begin() + end,
                       [](const std::atomic<bool>& row) { return row.load(std::memory_order_relaxed); });
  }

  bool still_open(std::int64_t row, const Open& id, float threshold) const {
    if (id.logit + id.error >= threshold) return true;
    for (std::int64_t t = 0; t < request_.target_count; ++t)
      if (straddles(id, target_logits(row)[t])) return true;
    return false;
  }

  void keep_open(const ScreenPanel& panel, int i, std::int64_t row, ScreenWorker& worker) {
    const auto at = static_cast<std::size_t>(row);
    if (panel.hit_counts[i] == 0 || given_up_[at].load(std::memory_order_relaxed)) return;
    TopK lower(&worker.keys[at * static_cast<std::size_t>(request_.k)], worker.sizes[at], request_.k);
    Open* list = &worker.open[at * static_cast<std::size_t>(plan_.capacity)];
    std::int32_t& count = worker.open_counts[at];
    const int width = padded(panel.ids);
    for (int h = 0; h < panel.hit_counts[i]; ++h) {
      const int position = panel.hits[i * width + h];
      const float z = panel.logits[i * width + position], error = panel.errors[i * width + position];
      const Open id{static_cast<std::int32_t>(panel.first + position), z, error};
      lower.push(order_key(z - error, id.id));
      const float threshold = lower.threshold();
      if (!still_open(row, id, threshold)) continue;
      if (count == plan_.capacity) {
        const auto closed = [&](const Open& one) { return !still_open(row, one, threshold); };
        count = static_cast<std::int32_t>(std::remove_if(list, list + count, closed) - list);
        // A list that stays nearly full would be walked again at every hit.
        if (count > plan_.capacity * 7 / 8) return given_up_[at].store(true, std::memory_order_relaxed);
      }
      list[count++] = id;
    }
    worker.thresholds[at] = lower.threshold();
  }

  void finish_row(std::int64_t row) {
    const std::int64_t m = first_row_ + row, k = request_.k, targets = request_.target_count;
    const auto at = static_cast<std::size_t>(row);
    if (given_up_[at]) return;
    const RowBound& bound = bounds_[at];
    std::vector<std::uint64_t> keys(static_cast<std::size_t>(k));
    std::int32_t kept = 0;
    TopK lower(keys.data(), kept, k);
    for (ScreenWorker& worker : workers_) {
      const std::uint64_t* best = &worker.keys[at * static_cast<std::size_t>(k)];
      std::for_each(best, best + worker.sizes[at], [&](std::uint64_t key) { lower.push(key); });
    }
    std::vector<Open> open;
    for (const ScreenWorker& worker : workers_) {
      const Open* list = &worker.open[at * static_cast<std::size_t>(plan_.capacity)];
      std::copy_if(list, list + worker.open_counts[at], std::back_inserter(open),
                   [&](const Open& id) { return still_open(row, id, lower.threshold()); });
    }
    if (static_cast<std::int64_t>(open.size()) > plan_.capacity) return;  // as with one list for all workers
    open_ += static_cast<std::int64_t>(open.size());
    ++certified_;
    std::sort(open.begin(), open.end(), [](const Open& a, const Open& b) { return a.id < b.id; });
    std::vector<std::int64_t> ids(open.size());
    std::transform(open.begin(), open.end(), ids.begin(), [](const Open& id) { return id.id; });
    const std::vector<float> exact = exact_logits(row, ids.data(), ids.size());

    Merged screened;
    for (std::int64_t span = 0; span < plan_.spans; ++span) {
      const float* p = &partials_[static_cast<std::size_t>((span * plan_.block + row) * kStates)];
      screened.add_weighted(p[0], p[1], p[2]);
    }
    const Certified certified_sum = certify(screened, bound, open, exact, plan_.span / kLanes);
    output_.values.logsumexp[m] = static_cast<float>(certified_sum.logsumexp);
    output_.logsumexp_error[m] = certified_sum.error;

    kept = 0;
    TopK best(keys.data(), kept, k);
    for (std::size_t i = 0; i < open.size(); ++i) best.push(order_key(exact[i], ids[i]));
    best.sort();
    for (std::int64_t i = 0; i < k; ++i) {
      output_.values.ids[m * k + i] = key_id(keys[static_cast<std::size_t>(i)]);
      output_.values.logits[m * k + i] = key_logit(keys[static_cast<std::size_t>(i)]);
    }
    for (std::int64_t t = 0; t < targets; ++t) {
      const float target = target_logits(row)[t];
      const std::int64_t target_id = request_.targets[m * targets + t];
      std::int64_t rank = 0;
      for (const ScreenWorker& worker : workers_)
        rank += worker.ranks[at * static_cast<std::size_t>(targets) + static_cast<std::size_t>(t)];
      for (std::size_t i = 0; i < open.size(); ++i)
        rank += straddles(open[i], target) && (exact[i] > target || (exact[i] == target && ids[i] < target_id));
      output_.values.target_ranks[m * targets + t] = rank;
    }
    for (std::int64_t s = 0; s < request_.token_sets.sets; ++s)
      output_.values.set_logprobs[m * request_.token_sets.sets + s] = set_logprob(row, s, certified_sum.logsumexp);
    output_.certified[m] = 1;
  }

  std::vector<float> exact_logits(std::int64_t row, const std::int64_t* ids, std::size_t count) const {
    // The panel holds the row's values side by side with those of its neighbours.
    std::int64_t panel = row * panels_.count / rows_;
    while (panels_.begin(panel) > row) --panel;
    while (panels_.begin(panel + 1) <= row) ++panel;
    const std::int64_t begin = panels_.begin(panel), rows = panels_.begin(panel + 1) - begin;
    std::vector<float> logits(count);
    products_.exact(exact_rows(begin), static_cast<int>(rows), static_cast<int>(row - begin), weight(), head(), ids,
                    static_cast<int>(count), logits.data());
    return logits;
  }

  float set_logprob(std::int64_t row, std::int64_t set, double logsumexp) const {
    const TokenSets& table = request_.token_sets;
    const std::int64_t* offset = table.offsets + (table.shared ? 0 : (first_row_ + row) * table.sets) + set;
    if (offset[0] == offset[1]) return -kInfinity;
    const std::vector<float> logits =
        exact_logits(row, table.ids + offset[0], static_cast<std::size_t>(offset[1] - offset[0]));
    const double top = *std::max_element(logits.begin(), logits.end());
    double sum = 0.0;
    for (const float z : logits) sum += std::exp(z - top);
    return static_cast<float>(std::min(top + std::log(sum) - logsumexp, 0.0));
  }

  const UnembedRequest& request_;
  const QuantizedWeight& quantized_;
  const CertifiedOutput& output_;
  const ScreenPlan& plan_;
  const Kernels& kernels_;
  const Products& products_;           // of the exact logits
  const std::int64_t lanes_, groups_;  // of a row, exact and quantized
  const ErrorBounds errors_;
  std::int64_t first_row_ = 0, rows_ = 0;
  Panels panels_{0, 1};
  std::vector<float> hidden_;        // the block's rows, widened, by panels of (dim, rows)
  std::vector<float> pairs_;         // and as exact() wants them, where that is in pairs
  std::vector<std::int32_t> steps_;  // and quantized, by panels as ScreenKernels says
  std::vector<RowBound> bounds_;
  std::vector<float> partials_;              // (spans, block, 3)
  std::vector<std::atomic<bool>> given_up_;  // (block): rows that cannot be certified
  std::atomic<std::int64_t> certified_{0};   // rows
  std::atomic<std::int64_t> open_{0};        // ids of all certified rows
  std::vector<ScreenWorker> workers_;
};

}  // namespace

void unembed_certified(const UnembedRequest& request, const QuantizedWeight& quantized, const CertifiedOutput& output,
                       Screening screening) {
  check_request(request);
  const std::int64_t rows = request.hidden.rows;
  std::fill(output.certified, output.certified + rows, std::uint8_t{0});
  const Kernels kernels = kernels_of(request.isa);
  const Products& products = products_of(kernels, request);
  const ScreenCost cost = screen_cost(request.isa, products.run != 0);
  const bool always = screening == Screening::always;
  if (rows == 0 || !(always || cost.pays(0.0, 0.0))) return;
  const ScreenPlan plan(request, kernels, products);
  ScreenBlock block(request, quantized, output, plan, kernels, products);
  std::int64_t done = 0;
  const auto run = [&](std::int64_t count) {
    block.run(done, count);
    done += count;
  };
  if (!always && rows >= kManyRows) {
    run(std::min(plan.block, kFirstRows));
    if (!block.pays(cost)) return;
  }
  while (done < rows) run(std::min(plan.block, rows - done));
}

}  // namespace pivotkit
