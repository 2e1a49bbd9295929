// SPDX-License-Identifier: BSD-3-Clause
#include "device/accelerator.hpp"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <c10/core/DeviceType.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <c10/core/impl/alloc_cpu.h>
#include <torch/version.h>
#if TORCH_VERSION_MAJOR > 2 || TORCH_VERSION_MINOR >= 13
#include <c10/core/CachingDeviceAllocator.h>
#endif

#include <algorithm>
#include <atomic>
#include <cstring>

#include "device/accelerator_state.hpp"

namespace thaw::test::accelerator {

namespace {

constexpr std::uintptr_t device_bit = std::uintptr_t{1} << 54;  // no address of a program has it
thread_local c10::StreamId current = 0;
thread_local int not_counted = 0;

void* on_device(const void* of_host) {
  return reinterpret_cast<void*>(reinterpret_cast<std::uintptr_t>(of_host) | device_bit);
}

void merge(Clock& into, const Clock& from) {
  for (const auto& [stream, number] : from) into[stream] = std::max(into[stream], number);
}

bool comes_after(c10::StreamId stream, c10::StreamId other, std::uint64_t number) {
  const auto knows = [&](const Clock& clock) {
    const auto found = clock.find(other);
    return found != clock.end() && found->second >= number;
  };
  return stream == other || number == 0 || knows(state().streams[stream].after) || knows(state().host);
}

void count_sync(const std::string& what) {
  if (not_counted > 0) return;
  TORCH_CHECK(!capture(), "operation not permitted when stream is capturing: ", what);
  ++state().syncs;
  TORCH_CHECK(state().refuse_syncs == 0, "accelerator: ", what, " waits for the device");
}

/// The host knows that all is over that comes before this operation of a stream.
void wait_on_host(c10::StreamId stream, std::uint64_t number, const Clock& after) {
  carry_out(stream, number, /*host_waits=*/true);
  merge(state().host, after);
  merge(state().host, {{stream, number}});
}

// ---- memory

void free_block(void* address) {
  State& all = state();
  const std::scoped_lock lock(all.mutex);
  const auto found = all.blocks.find(reinterpret_cast<std::uintptr_t>(address));
  const std::shared_ptr<Block> block = found->second;
  for (const auto& [stream, number] : block->used)
    if (!block->recorded.contains(stream) && !comes_after(block->owner, stream, number))
      all.misuse.push_back("memory of stream " + std::to_string(block->owner) + " is freed while stream " +
                           std::to_string(stream) + " may still use it: record_stream is missing");
  all.bytes -= static_cast<std::int64_t>(block->size);
  all.blocks.erase(found);
}

void record_use(const c10::DataPtr& data, const c10::Stream& stream) {
  const std::scoped_lock lock(state().mutex);
  if (const auto block = block_of(data.get())) block->recorded.insert(stream.id());
}

#if TORCH_VERSION_MAJOR > 2 || TORCH_VERSION_MINOR >= 13
struct WithStatistics : c10::DeviceAllocator {
  bool initialized() override { return true; }
  void emptyCache(c10::MempoolId_t) override {}
  void recordStream(const c10::DataPtr& data, c10::Stream stream) override { record_use(data, stream); }
  c10::CachingDeviceAllocator::DeviceStats getDeviceStats(c10::DeviceIndex) override {
    c10::CachingDeviceAllocator::DeviceStats statistics;
    const MemoryInUse now = memory();
    for (auto* each : {&statistics.allocated_bytes, &statistics.active_bytes, &statistics.reserved_bytes,
                       &statistics.requested_bytes})
      (*each)[0].current = now.now, (*each)[0].peak = now.peak;
    return statistics;
  }
  void resetAccumulatedStats(c10::DeviceIndex) override {}
  void resetPeakStats(c10::DeviceIndex) override { reset_peak(); }
};
#else
using WithStatistics = c10::Allocator;
#endif

struct DeviceMemory final : WithStatistics {
  c10::DataPtr allocate(std::size_t size) override {
    if (size == 0) return {nullptr, device()};
    State& all = state();
    const std::scoped_lock lock(all.mutex);
    TORCH_CHECK_WITH(OutOfMemoryError, all.limit == 0 || all.bytes + static_cast<std::int64_t>(size) <= all.limit,
                     "accelerator: out of memory");
    const auto block = std::make_shared<Block>(size, current);
    void* const address = on_device(block->bytes);
    const std::uint64_t now = all.streams[current].now;
    block->written = {current, now}, block->used = {{current, now}};
    all.blocks[reinterpret_cast<std::uintptr_t>(address)] = block;
    all.bytes += static_cast<std::int64_t>(size);
    all.peak_bytes = std::max(all.peak_bytes, all.bytes);
    if (capture()) capture()->pool.push_back(block);
    return {address, address, &free_block, device()};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &free_block; }
  void copy_data(void* to, const void* from, std::size_t size) const override {
    std::memcpy(on_host(to), on_host(from), size);
  }
};

struct PinnedMemory final : c10::Allocator {
  static void free(void* address) {
    const std::scoped_lock lock(state().mutex);
    state().pinned.erase(reinterpret_cast<std::uintptr_t>(address));
    for (const auto& each : state().graphs)
      if (const auto graph = each.lock(); graph && graph->pinned.contains(address))
        state().misuse.emplace_back("pinned memory is freed that a graph copies from or to");
    c10::free_cpu(address);
  }
  c10::DataPtr allocate(std::size_t size) override {
    void* const address = c10::alloc_cpu(std::max<std::size_t>(size, 1));
    const std::scoped_lock lock(state().mutex);
    state().pinned[reinterpret_cast<std::uintptr_t>(address)] = size;
    return {address, address, &free, at::kCPU};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &free; }
  void copy_data(void* to, const void* from, std::size_t size) const override { std::memcpy(to, from, size); }
};

bool is_pinned_address(const void* address) {
  const std::scoped_lock lock(state().mutex);
  const auto wanted = reinterpret_cast<std::uintptr_t>(address);
  const auto behind = state().pinned.upper_bound(wanted);
  return behind != state().pinned.begin() && wanted < std::prev(behind)->first + std::prev(behind)->second;
}

// ---- random numbers

/// LibTorch's generator for the CPU, which says that it is the device's.
struct Random final : c10::GeneratorImpl {
  explicit Random(at::Generator numbers_ = at::detail::createCPUGenerator())
      : GeneratorImpl(accelerator::device(), c10::DispatchKeySet(c10::DispatchKey::PrivateUse1)),
        numbers(std::move(numbers_)) {}
  void set_current_seed(std::uint64_t seed) override { numbers.set_current_seed(seed); }
  void set_offset(std::uint64_t offset) override { numbers.set_offset(offset); }
  std::uint64_t get_offset() const override { return numbers.get_offset(); }
  std::uint64_t current_seed() const override { return numbers.current_seed(); }
  std::uint64_t seed() override { return numbers.seed(); }
  void set_state(const c10::TensorImpl& bytes) override { numbers.unsafeGetGeneratorImpl()->set_state(bytes); }
  c10::intrusive_ptr<c10::TensorImpl> get_state() const override {
    return numbers.unsafeGetGeneratorImpl()->get_state();
  }
  GeneratorImpl* clone_impl() const override { return new Random(numbers.clone()); }

  mutable at::Generator numbers;
};

at::Generator& default_generator() {
  static auto& generator = *new at::Generator(at::make_generator<Random>());
  return generator;
}

// ---- streams and events

struct Guard final : c10::impl::DeviceGuardImplInterface {
  static c10::Stream stream(c10::StreamId id) { return c10::Stream(c10::Stream::UNSAFE, device(), id); }
  static Event& event(void* event) { return *static_cast<Event*>(event); }

  c10::DeviceType type() const override { return c10::DeviceType::PrivateUse1; }
  c10::Device exchangeDevice(c10::Device) const override { return device(); }
  c10::Device getDevice() const override { return device(); }
  void setDevice(c10::Device) const override {}
  void uncheckedSetDevice(c10::Device) const noexcept override {}
  c10::DeviceIndex deviceCount() const noexcept override { return 1; }

  c10::Stream getStream(c10::Device) const noexcept override { return stream(current); }
  c10::Stream getDefaultStream(c10::Device) const override { return stream(0); }
  c10::Stream getStreamFromGlobalPool(c10::Device, bool) const override {
    static std::atomic<c10::StreamId> made = 0;
    return stream(1 + made++ % 32);
  }
  c10::Stream getNewStream(c10::Device of, int) const override { return getStreamFromGlobalPool(of, false); }
  c10::Stream exchangeStream(c10::Stream to) const noexcept override { return stream(std::exchange(current, to.id())); }

  bool isStreamCapturing(const c10::Stream& of) const {  // no `override`: older LibTorchs do not ask
    const std::scoped_lock lock(state().mutex);
    return state().streams[of.id()].capture != nullptr;
  }
  bool queryStream(const c10::Stream& of) const override {
    const std::scoped_lock lock(state().mutex);
    return query({.stream = of.id(), .number = state().streams[of.id()].now, .after = state().streams[of.id()].after});
  }
  void synchronizeStream(const c10::Stream& of) const override {
    const std::scoped_lock lock(state().mutex);
    const Stream& waited_for = state().streams[of.id()];
    count_sync("synchronizeStream");
    wait_on_host(of.id(), waited_for.now, waited_for.after);
  }
  void synchronizeDevice(const c10::DeviceIndex) const {  // likewise
    const std::scoped_lock lock(state().mutex);
    count_sync("synchronizeDevice");
    for (const auto& [id, each] : state().streams) wait_on_host(id, each.now, each.after);
  }

  void record(void** made, const c10::Stream& on, const c10::DeviceIndex, const c10::EventFlag) const override {
    const std::scoped_lock lock(state().mutex);
    const Stream& stream = state().streams[on.id()];
    if (*made == nullptr) *made = new Event;
    event(*made) = {.stream = on.id(), .number = stream.now, .after = stream.after, .capture = stream.capture};
  }
  void block(void* of, const c10::Stream& waits) const override {
    if (of == nullptr) return;
    const std::scoped_lock lock(state().mutex);
    const Event& behind = event(of);
    carry_out(behind.stream, behind.number, /*host_waits=*/false);
    Stream& stream = state().streams[waits.id()];
    merge(stream.after, behind.after);
    merge(stream.after, {{behind.stream, behind.number}});
    if (const auto graph = behind.capture.lock(); graph && state().streams[behind.stream].capture == graph)
      stream.capture = graph;
  }
  bool queryEvent(void* of) const override {
    const std::scoped_lock lock(state().mutex);
    return of == nullptr || query(event(of));
  }
  void synchronizeEvent(void* of) const override {
    if (of == nullptr) return;
    const std::scoped_lock lock(state().mutex);
    const Event& behind = event(of);
    if (const auto seen = state().host.find(behind.stream); seen != state().host.end() && seen->second >= behind.number)
      return;  // long over
    count_sync("synchronizeEvent");
    wait_on_host(behind.stream, behind.number, behind.after);
  }
  void destroyEvent(void* of, const c10::DeviceIndex) const noexcept override { delete static_cast<Event*>(of); }
  void recordDataPtrOnStream(const c10::DataPtr& data, const c10::Stream& stream) const override {
    record_use(data, stream);
  }

 private:
  /// Time passes between two questions.
  static bool query(const Event& behind) {
    const auto& copies = state().streams[behind.stream].copies;
    const bool over = copies.empty() || copies.front().number > behind.number;
    if (over)
      wait_on_host(behind.stream, behind.number, behind.after);
    else
      carry_out(behind.stream, behind.number, /*host_waits=*/true);
    return over;
  }
};

struct Hooks final : at::PrivateUse1HooksInterface {
  bool isBuilt() const { return true; }  // no `override`: LibTorch 2.6 does not ask
  bool isAvailable() const { return true; }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  c10::DeviceIndex deviceCount() const override { return 1; }
  void setCurrentDevice(c10::DeviceIndex) const override {}
  c10::DeviceIndex getCurrentDevice() const override { return 0; }
  c10::DeviceIndex exchangeDevice(c10::DeviceIndex) const override { return 0; }
  c10::DeviceIndex maybeExchangeDevice(c10::DeviceIndex) const override { return 0; }
  at::Device getDeviceFromPtr(void*) const override { return device(); }
  bool isPinnedPtr(const void* data) const override { return is_pinned_address(data); }
  c10::Allocator* getPinnedMemoryAllocator() const override {
    static auto& memory = *new PinnedMemory;
    return &memory;
  }
  const at::Generator& getDefaultGenerator(c10::DeviceIndex) const override { return default_generator(); }
  at::Generator getNewGenerator(c10::DeviceIndex) const override { return at::make_generator<Random>(); }
};

}  // namespace

// ---- what the kernels ask for

Block::Block(std::size_t size_, c10::StreamId owner_) : size(size_), bytes(c10::alloc_cpu(size_)), owner(owner_) {
  std::memset(bytes, 0xFF, size);  // NaN in every floating point type
}
Block::~Block() {
  c10::free_cpu(bytes);
}

State& state() {
  static auto& all = *new State;  // outlives what is freed as the program ends
  return all;
}
at::Device device() {
  return {c10::DeviceType::PrivateUse1, 0};
}
c10::Allocator& allocator() {
  static auto& memory = *new DeviceMemory;
  return memory;
}
c10::StreamId current_stream() {
  return current;
}
std::shared_ptr<Capture>& capture() {
  return state().streams[current].capture;
}
at::Generator& random() {
  return default_generator().get<Random>()->numbers;
}
at::Generator drawn_from(const at::Generator& generator) {
  if (!generator.defined()) return random();
  TORCH_CHECK(generator.device() == device(), "Expected a '", device(), "' device type for generator but found '",
              generator.device(), "'");
  return generator.get<Random>()->numbers;
}
void* on_host(const void* of_device) {
  return reinterpret_cast<void*>(reinterpret_cast<std::uintptr_t>(of_device) & ~device_bit);
}
bool is_pinned(const at::Tensor& tensor) {
  return is_pinned_address(tensor.const_data_ptr());
}
std::shared_ptr<Block> block_of(const void* of_device) {
  const auto found = state().blocks.find(reinterpret_cast<std::uintptr_t>(of_device));
  return found == state().blocks.end() ? nullptr : found->second;
}

void sync(const std::string& what) {
  count_sync(what);
  wait_on_host(current, state().streams[current].now, state().streams[current].after);
}

void carry_out(c10::StreamId stream, std::uint64_t number, bool host_waits) {
  std::deque<Copy>& copies = state().streams[stream].copies;
  for (auto copy = copies.begin(); copy != copies.end() && copy->number <= number;) {
    if (copy->to_host && !host_waits) {
      ++copy;
      continue;
    }
    copy->run();
    copy = copies.erase(copy);
  }
}

void begin(const std::string& name, const Blocks& reads, const Blocks& writes, bool queued) {
  State& all = state();
  Stream& stream = all.streams[current];
  const auto check = [&](c10::StreamId other, std::uint64_t number, const char* how) {
    if (!comes_after(current, other, number))
      all.misuse.push_back(name + " on stream " + std::to_string(current) + how + std::to_string(other) +
                           ", without waiting for it");
  };
  for (const auto& block : reads)
    check(block->written.first, block->written.second, " reads what is written on stream ");
  for (const auto& block : writes)
    for (const auto& [other, number] : block->used) check(other, number, " writes to what is in use on stream ");
  if (!queued) carry_out(current, stream.now, /*host_waits=*/false);
  ++stream.now;
  for (const Blocks& each : {reads, writes})
    for (const auto& block : each) {
      block->used[current] = stream.now;
      if (!stream.capture) continue;
      auto& before = stream.capture->before[block];
      const auto* bytes = static_cast<const std::byte*>(block->bytes);
      if (before.empty()) before.assign(bytes, bytes + block->size);
    }
  for (const auto& block : writes) block->written = {current, stream.now};
}

void record(const std::string& name, const Blocks& blocks, std::function<void()> run) {
  if (const auto& graph = capture()) graph->steps.push_back({name, {blocks.begin(), blocks.end()}, std::move(run)});
}

// ---- what the tests ask for

at::Device start() {
  static const at::Device started = [] {
    c10::register_privateuse1_backend("accelerator");
    c10::SetAllocator(c10::DeviceType::PrivateUse1, &allocator(), /*priority=*/1);
    at::RegisterPrivateUse1HooksInterface(new Hooks);
    c10::impl::DeviceGuardImplRegistrar(c10::DeviceType::PrivateUse1, new Guard);
    register_graphs();
    return device();
  }();
  return started;
}

std::int64_t syncs() {
  const std::scoped_lock lock(state().mutex);
  return state().syncs;
}

NoSync::NoSync() {
  const std::scoped_lock lock(state().mutex);
  ++state().refuse_syncs;
}
NoSync::~NoSync() {
  const std::scoped_lock lock(state().mutex);
  --state().refuse_syncs;
}

NotCounted::NotCounted() {
  ++not_counted;
}
NotCounted::~NotCounted() {
  --not_counted;
}

std::vector<std::string> misuse() {
  const std::scoped_lock lock(state().mutex);
  return std::exchange(state().misuse, {});
}

MemoryInUse memory() {
  const std::scoped_lock lock(state().mutex);
  return {state().bytes, state().peak_bytes};
}
void reset_peak() {
  const std::scoped_lock lock(state().mutex);
  state().peak_bytes = state().bytes;
}
void limit_memory(std::int64_t bytes) {
  const std::scoped_lock lock(state().mutex);
  state().limit = bytes;
}

}  // namespace thaw::test::accelerator
