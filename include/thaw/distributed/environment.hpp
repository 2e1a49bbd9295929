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
  std::int64_t local_rank = 0;        ///< among those of this machine: which GPU is its own
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

/// How a launcher calls them.
struct Launcher {
  const char *rank, *size, *local_rank;
};

inline constexpr std::array launchers{
    Launcher{"RANK", "WORLD_SIZE", "LOCAL_RANK"},                                            // torchrun
    Launcher{"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"},  // Open MPI
    Launcher{"PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID"},                                     // MPICH, Intel MPI
    Launcher{"SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID"}};                              // srun

}  // namespace detail

/// What the launcher's variables say: torchrun's (RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT), or else
/// Open MPI's, MPICH's or Slurm's ranks, with MASTER_ADDR and MASTER_PORT from the user where processes run on several
/// machines. One process where there are none. GLOO_SOCKET_IFNAME names the network's interface, as PyTorch has it.
/// `variable` is how they are asked for. Throws ConfigError for values that make no sense.
[[nodiscard]] inline Environment environment(const detail::Variable& variable = [](const char* name) -> const char* {
  return std::getenv(name);
}) {
  Environment result;
  for (const detail::Launcher& launcher : detail::launchers) {
    const auto rank = detail::whole_number(variable, launcher.rank),
               size = detail::whole_number(variable, launcher.size);
    if (!rank && !size) continue;
    if (!rank || !size || *rank >= *size)
      throw ConfigError("distributed::environment",
                        std::string(launcher.rank) + " is " + (rank ? std::to_string(*rank) : "not set") + ", " +
                            launcher.size + " is " + (size ? std::to_string(*size) : "not set"),
                        "set both, ranks from 0 on, or start by torchrun --no-python");
    result.rank = *rank, result.size = *size;
    result.local_rank = detail::whole_number(variable, launcher.local_rank).value_or(0);
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
