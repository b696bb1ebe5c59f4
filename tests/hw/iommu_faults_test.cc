// SPDX-License-Identifier: Apache-2.0
#include "hw/iommu_faults.h"

#include <gtest/gtest.h>

#include <fstream>

#include "tests/temp_dir.h"

namespace vigia::hw {
namespace {

constexpr PciAddress kVf{0, 1, 0x10, 0};
const std::string kIntel =
    "3,812,51236123,-;DMAR: [DMA Write NO_PASID] Request device [01:10.0] fault addr 0x1000 [fault reason 0x05] PTE "
    "Write access is not set\n";

TEST(IommuFaults, LinesOfBothVendors) {
  struct Row {
    const char* line;
    bool ours;
  };
  for (const Row& row : {
           Row{kIntel.c_str(), true},
           Row{"DMAR: [DMA Read NO_PASID] Request device [01:10.2] fault addr 0x1000 [fault reason 0x06]", false},
           Row{"DMAR: DRHD: handling fault status reg 2", false},
           Row{"DMAR: Request device [01:10.0] something else", false},
           Row{"vfio-pci 0000:01:10.0: AMD-Vi: Event logged [IO_PAGE_FAULT domain=0x000e address=0x0 flags=0x0]", true},
           Row{"vfio-pci 0000:01:10.2: AMD-Vi: Event logged [IO_PAGE_FAULT domain=0x000e address=0x0 flags=0x0]",
               false},
           Row{"AMD-Vi: Event logged [IO_PAGE_FAULT device=01:10.0 domain=0x000e address=0x0 flags=0x0]", true},
           Row{"AMD-Vi: Event logged [IO_PAGE_FAULT device=0000:01:10.0 domain=0x000e address=0x0]", true},
           Row{"vfio-pci 0000:01:10.0: enabling device (0000 -> 0002)", false},
           Row{"", false},
       }) {
    EXPECT_EQ(is_iommu_fault(row.line, kVf), row.ours) << row.line;
  }
}

TEST(IommuFaults, CountsWhatCameAfterItsBeginning) {
  test::TempDir dir;
  const std::string log = (dir / "kmsg").string();
  const auto add = [&log](const std::string& text) { std::ofstream(log, std::ios::app) << text; };
  add(kIntel);
  const auto faults = IommuFaults::open(kVf, log);
  ASSERT_TRUE(faults);
  EXPECT_EQ(faults->count(), 0u) << "somebody's before us";
  add(kIntel + "6,1,2,-;something else\n" + kIntel);
  EXPECT_EQ(faults->count(), 2u);
  add(kIntel);
  EXPECT_EQ(faults->count(), 3u);
  EXPECT_EQ(faults->count(), 3u);
}

TEST(IommuFaults, ALogThatCannotBeReadIsNotZero) { EXPECT_FALSE(IommuFaults::open(kVf, "/nonexistent/kmsg")); }

}  // namespace
}  // namespace vigia::hw
