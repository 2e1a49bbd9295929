// SPDX-License-Identifier: BSD-3-Clause
// A network whose packets take time, for tests; Linux, root.
//   delay_line <milliseconds> <network namespace> <network namespace>...
// Each namespace has a TUN device far0 (ip tuntap add dev far0 mode tun), the i-th with the address 10.0.1.<i>. What is
// sent there arrives after that time, in order. Runs until it is killed. The kernel's own way, netem, is a module that
// not every kernel has.

#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <exception>
#include <string>
#include <system_error>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

int or_throw(int result, const std::string& what) {
  if (result < 0) throw std::system_error(errno, std::generic_category(), what);
  return result;
}

/// This thread is in that namespace from then on.
int open_far0(const std::string& name) {
  const int place = or_throw(::open(("/var/run/netns/" + name).c_str(), O_RDONLY | O_CLOEXEC), name);
  or_throw(::setns(place, CLONE_NEWNET), "setns " + name);
  ::close(place);
  const int device = or_throw(::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC), "/dev/net/tun");
  ifreq request{};
  request.ifr_flags = IFF_TUN | IFF_NO_PI;
  std::ranges::copy(std::string("far0"), request.ifr_name);
  or_throw(::ioctl(device, TUNSETIFF, &request), "far0 in " + name);
  return device;
}

struct Packet {
  Clock::time_point due;
  int to;
  std::vector<char> bytes;
};

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 4) return std::fprintf(stderr, "delay_line <milliseconds> <namespace> <namespace>...\n"), 2;
  const std::chrono::microseconds delay(std::lround(1000 * std::strtod(argv[1], nullptr)));
  std::vector<pollfd> devices;
  for (int i = 2; i < argc; ++i) devices.push_back({.fd = open_far0(argv[i]), .events = POLLIN, .revents = 0});
  std::deque<Packet> under_way;
  std::array<char, 65536> buffer{};
  while (true) {
    std::chrono::nanoseconds wait = std::chrono::seconds(1);
    if (!under_way.empty()) wait = std::max(std::chrono::nanoseconds(0), under_way.front().due - Clock::now());
    const timespec timeout{.tv_sec = wait.count() / 1'000'000'000, .tv_nsec = wait.count() % 1'000'000'000};
    or_throw(::ppoll(devices.data(), devices.size(), &timeout, nullptr), "ppoll");
    for (const pollfd& device : devices)
      for (ssize_t n = 0; (n = ::read(device.fd, buffer.data(), buffer.size())) > 0;) {
        constexpr std::size_t last_of_destination = 19;  // of an IPv4 header
        const auto host = static_cast<std::size_t>(static_cast<unsigned char>(buffer[last_of_destination]));
        if (buffer[0] >> 4 != 4 || host < 1 || host > devices.size()) continue;
        under_way.push_back({Clock::now() + delay, devices[host - 1].fd, {buffer.data(), buffer.data() + n}});
      }
    for (; !under_way.empty() && under_way.front().due <= Clock::now(); under_way.pop_front())
      (void)!::write(under_way.front().to, under_way.front().bytes.data(), under_way.front().bytes.size());
  }
} catch (const std::exception& error) {
  std::fprintf(stderr, "delay_line: %s\n", error.what());
  return 1;
}
