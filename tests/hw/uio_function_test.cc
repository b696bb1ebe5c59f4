// SPDX-License-Identifier: Apache-2.0
// Who a function is when its own configuration space does not tell.
#include "hw/uio_function.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <fstream>

#include "tests/temp_dir.h"

namespace vigia::hw {
namespace {

// A function whose configuration space is a file.
class FileFunction final : public KernelFunction {
 public:
  explicit FileFunction(int config) : KernelFunction("a file", {config, 0, 64, {}}) {}
  using KernelFunction::identify;

  Result<DmaMemory> allocate_dma(std::size_t, std::string_view) override { return work_error("not here"); }
  Result<Iova> map_dma(const DmaMemory&) override { return work_error("not here"); }
  Result<Done> unmap_dma(Iova, std::size_t) override { return Done{}; }
  Result<std::vector<int>> enable_msix(unsigned) override { return work_error("not here"); }
  Result<Done> disable_msix() override { return Done{}; }
  Result<Done> reset() override { return Done{}; }

 private:
  Result<FileRange> find_bar(unsigned) override { return FileRange{}; }
};

using test::TempDir;

struct Row {
  const char* what;
  std::optional<std::string> vendor, device;  // files; empty: absent
  std::optional<PciId> id;
};

TEST(UioFunction, IdsInSysfs) {
  const Row rows[] = {
      {"as the kernel writes them", "0x8086\n", "0x10ed\n", PciId{0x8086, 0x10ed}},
      {"without newline and prefix", "8086", "1520", PciId{0x8086, 0x1520}},
      {"no files: not a function", {}, {}, {}},
      {"no vendor", {}, "0x10ed\n", {}},
      {"no device", "0x8086\n", {}, {}},
      {"empty", "", "", {}},
      {"words", "none\n", "none\n", {}},
      {"ones: the kernel could not read it either", "0xffff\n", "0xffff\n", {}},
      {"half of it", "0x8086\n", "0xffff\n", {}},
  };
  for (const Row& row : rows) {
    const TempDir dir;
    if (row.vendor) std::ofstream(dir.path() / "vendor") << *row.vendor;
    if (row.device) std::ofstream(dir.path() / "device") << *row.device;
    EXPECT_EQ(id_in_sysfs(dir.path()), row.id) << row.what;
  }
  EXPECT_EQ(id_in_sysfs("/nonexistent/function"), std::nullopt);
}

// SR-IOV 1.1, 3.4.1.1: the ids of a VF read as ones; its command register is its own.
TEST(UioFunction, AVfIsWhatSysfsSaysAndAPfWhatItSaysItself) {
  for (const bool vf : {true, false}) {
    const TempDir dir;
    std::string space(64, '\0');
    const std::string id = vf ? std::string(4, '\xff') : std::string("\x86\x80\xfb\x10", 4);
    space.replace(0, 4, id);
    std::ofstream(dir.path() / "config", std::ios::binary) << space;
    std::ofstream(dir.path() / "vendor") << "0x8086\n";
    std::ofstream(dir.path() / "device") << (vf ? "0x10ed\n" : "0x10fb\n");
    const Fd config(::open((dir.path() / "config").c_str(), O_RDWR | O_CLOEXEC));
    FileFunction function(config.get());
    const auto known = function.identify(vf ? id_in_sysfs(dir.path()) : std::nullopt);
    ASSERT_TRUE(known) << known.error().text;
    EXPECT_EQ(function.id(), (vf ? PciId{0x8086, 0x10ed} : PciId{0x8086, 0x10fb}));
    EXPECT_EQ(*function.config_read(4, 2), 2u) << "registers answer";
  }
}

}  // namespace
}  // namespace vigia::hw
