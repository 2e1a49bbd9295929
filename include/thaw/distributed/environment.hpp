// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <array>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include <thaw/core/error.hpp>

namespace thaw::distributed {

/// Which of how many processes this one is, and where they meet.
struct Environment {
  std::int64_t rank = 0;              ///< 0 to size - 1
  std::int64_t size = 1;              ///< how many there are
  /// Among those of this machine: which GPU is its own. None where there are several processes, and nothing says it.
  std::optional<std::int64_t> local_rank = 0;
  std::string address = "127.0.0.1";  ///< of the machine where rank 0 runs
  std::int64_t port = 29500;
  std::string interface = {};  ///< of the network, eth0 say, by which others reach this one; empty: its host name's
  bool agent = false;          ///< the launcher keeps the meeting place, not rank 0
  std::int64_t attempt = 0;    ///< how many times the launcher started them anew
};

namespace detail {

using Variable = std::function<const char*(const char*)>;

[[nodiscard]] inline std::optional<std::int64_t> whole_number(const Variable& variable, const char* name) {
  const char* text = variable(name);
  if (text == nullptr || *text == '\0') return std::nullopt;
  const std::string_view digits(text);
  std::int64_t value = -1;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc() || end != digits.data() + digits.size() || value < 0)
    throw ConfigError(name, "is \"" + std::string(digits) + "\"", "set it to a whole number, or start by torchrun");
  return value;
}

/// How a launcher calls them. Where it has an allocation in which a program can also be started by hand, `step` is set
/// in what it started itself, and `step_size` says how many that are, not how many the allocation has room for.
struct Launcher {
  const char *rank = nullptr, *size = nullptr, *local_rank = nullptr;
  const char *step = nullptr, *step_size = nullptr;
};

/// The first that has started this process counts. torchrun's come first: mpirun and srun may start it, and people set
/// them by hand.
inline constexpr std::array launchers{
    Launcher{"RANK", "WORLD_SIZE", "LOCAL_RANK"},                                            // torchrun
    Launcher{"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"},  // Open MPI
    Launcher{"PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID"},                                     // MPICH, Intel MPI
    Launcher{"SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID", "SLURM_STEP_ID", "SLURM_STEP_NUM_TASKS"}};  // srun

/// What a launcher's variables say.
struct Place {
  std::optional<std::int64_t> rank, size, local_rank;
};

[[nodiscard]] inline Place place_of(const Launcher& launcher, const Variable& variable) {
  std::optional<std::int64_t> size;
  if (launcher.step_size != nullptr) size = whole_number(variable, launcher.step_size);
  return {.rank = whole_number(variable, launcher.rank),
          .size = size ? size : whole_number(variable, launcher.size),
          .local_rank = whole_number(variable, launcher.local_rank)};
}

/// Whether it has started this process. A batch script has a rank too, always 0.
[[nodiscard]] inline bool has_started(const Launcher& launcher, const Place& place, const Variable& variable) {
  if (!place.rank && !place.size) return false;
  if (launcher.step == nullptr || place.rank.value_or(0) > 0) return true;
  const char* step = variable(launcher.step);
  return step != nullptr && *step != '\0';
}

/// As some launcher says. One that has another rank or size for this process has started another one, from which this
/// one comes: mpirun's daemons are srun's tasks, say.
[[nodiscard]] inline std::optional<std::int64_t> local_rank(const Environment& here, const Variable& variable) {
  for (const Launcher& launcher : launchers) {
    const Place place = place_of(launcher, variable);
    if (place.local_rank && place.rank.value_or(here.rank) == here.rank && place.size.value_or(here.size) == here.size)
      return place.local_rank;
  }
  return std::nullopt;
}

/// Which of a machine's GPUs is this process's own. Throws ConfigError where there are several and nothing says it.
[[nodiscard]] inline std::int64_t own_gpu(const Environment& here, std::int64_t gpus) {
  if (!here.local_rank && gpus > 1)
    throw ConfigError("distributed::environment",
                      "rank " + std::to_string(here.rank) + " of " + std::to_string(here.size) +
                          " does not know which of the machine's " + std::to_string(gpus) + " GPUs is its own",
                      "set LOCAL_RANK: 0 for the first process on each machine, then 1, ...; or start by torchrun");
  return here.local_rank.value_or(0);
}

}  // namespace detail

/// What the launcher's variables say: torchrun's (RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT), or else
/// Open MPI's, MPICH's or Slurm's ranks, with MASTER_ADDR and MASTER_PORT from the user where processes run on several
/// machines. One process where there are none, also inside a Slurm allocation or batch script, but for what srun starts
/// there. GLOO_SOCKET_IFNAME names the network's interface, as PyTorch has it. `variable` is how they are asked for.
/// Throws ConfigError for values that make no sense.
[[nodiscard]] inline Environment environment(const detail::Variable& variable = [](const char* name) -> const char* {
  return std::getenv(name);
}) {
  Environment result;
  for (const detail::Launcher& launcher : detail::launchers) {
    const detail::Place place = detail::place_of(launcher, variable);
    if (!detail::has_started(launcher, place, variable)) continue;
    const auto& [rank, size, local_rank] = place;
    if (!rank || !size || *rank >= *size)
      throw ConfigError("distributed::environment",
                        std::string(launcher.rank) + " is " + (rank ? std::to_string(*rank) : "not set") + ", " +
                            launcher.size + " is " + (size ? std::to_string(*size) : "not set"),
                        "set both, ranks from 0 on, or start by torchrun --no-python");
    result.rank = *rank, result.size = *size;
    result.local_rank = *size == 1 ? local_rank.value_or(0) : detail::local_rank(result, variable);
    break;
  }
  if (const char* address = variable("MASTER_ADDR"); address != nullptr && *address != '\0') result.address = address;
  result.port = detail::whole_number(variable, "MASTER_PORT").value_or(result.port);
  if (result.port == 0 || result.port > 65535)
    throw ConfigError("MASTER_PORT", "is " + std::to_string(result.port), "give a port of 1 to 65535");
  if (const char* interface = variable("GLOO_SOCKET_IFNAME"); interface != nullptr) result.interface = interface;
  const char* agent = variable("TORCHELASTIC_USE_AGENT_STORE");
  result.agent = agent != nullptr && std::string_view(agent) == "True";
  result.attempt = detail::whole_number(variable, "TORCHELASTIC_RESTART_COUNT").value_or(0);
  return result;
}

}  // namespace thaw::distributed
