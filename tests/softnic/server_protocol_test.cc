// SPDX-License-Identifier: Apache-2.0
// What a client may ask, and what it is refused: refusals first.
#include <gtest/gtest.h>

#include "fake_function.h"
#include "raw_client.h"
#include "tests/temp_dir.h"

namespace vigia::softnic::test {
namespace {

class Protocol : public ::testing::Test {
 protected:
  void SetUp() override {
    server = std::move(*Server::create());
    ASSERT_TRUE(server->listen(path, model));
    ASSERT_TRUE(server->listen(trap_path, trapping));
  }
  RawClient attach() { return RawClient(*server, path); }

  vigia::test::TempDir dir;
  std::filesystem::path path = dir / "vf0.sock", trap_path = dir / "vf1.sock";
  FakeFunction model{true}, trapping{false, "vf1"};
  std::unique_ptr<Server> server;
};

TEST_F(Protocol, NoFramingMeansTheEnd) {
  auto bad = [](auto change) {
    Header h = RawClient::header(Command::device_reset, 0);
    change(h);
    return h;
  };
  const Header rows[] = {
      bad([](Header& h) { h.size = 0; }),
      bad([](Header& h) { h.size = 15; }),
      bad([](Header& h) { h.size = kMaxMessage + 1; }),
      bad([](Header& h) { h.size = 0xffffffff; }),
      bad([](Header& h) { h.flags = kReply; }),
      bad([](Header& h) { h.flags = 2; }),
      bad([](Header& h) { h.flags = 15 | kNoReply; }),
  };
  unsigned detachments = 0;
  for (const Header& row : rows) {
    RawClient client = attach();
    ASSERT_TRUE(client.send(bytes_of(row)));
    EXPECT_TRUE(client.closed()) << "size " << row.size << " flags " << row.flags;
    EXPECT_EQ(model.detachments, ++detachments);
  }
  EXPECT_EQ(model.resets, 0u);
}

TEST_F(Protocol, PayloadLengthsAreExact) {
  RawClient client = attach();
  const std::pair<Command, std::size_t> rows[] = {
      {Command::dma_map, sizeof(DmaMap)},
      {Command::dma_unmap, sizeof(DmaUnmap)},
      {Command::device_get_info, sizeof(DeviceInfo)},
      {Command::device_get_irq_info, sizeof(IrqInfo)},
      {Command::device_set_irqs, sizeof(SetIrqs)},
      {Command::region_read, sizeof(RegionAccess)},
      {Command::device_reset, 0},
  };
  for (const auto& [command, size] : rows) {
    if (size > 0) {
      EXPECT_EQ(client.request(command, Bytes(size - 1)).error(), EINVAL) << static_cast<int>(command);
    }
    EXPECT_EQ(client.request(command, Bytes(size + 1)).error(), EINVAL) << static_cast<int>(command);
    EXPECT_EQ(client.request(command, Bytes(100000)).error(), EINVAL) << static_cast<int>(command);
  }
  EXPECT_EQ(client.request(Command::device_get_region_info, Bytes(31)).error(), EINVAL);
  EXPECT_EQ(client.request(Command::region_write, Bytes(15)).error(), EINVAL);
  EXPECT_EQ(client.request(Command::region_write_multi, Bytes(7)).error(), EINVAL);
  EXPECT_EQ(client.request(Command::device_reset, {}).error(), 0) << "and the connection goes on";
}

TEST_F(Protocol, UnknownCommandsAreRefusedAndNothingHappens) {
  RawClient client = attach();
  for (const unsigned command : {0u, 6u, 11u, 12u, 14u, 17u, 18u, 0xffffu}) {
    EXPECT_EQ(client.request(static_cast<Command>(command), Bytes(32)).error(), ENOSYS) << command;
  }
  EXPECT_EQ(client.request(Command::device_feature, Bytes(8)).error(), EINVAL) << "QEMU's word for: not supported";
}

TEST_F(Protocol, AnErrorIsAHeaderAlone) {
  RawClient client = attach();
  const Answer a = client.read(3, 0, 4);
  ASSERT_TRUE(a.arrived);
  EXPECT_EQ(a.header.size, 16u);
  EXPECT_EQ(a.header.flags, 0x21u);
  EXPECT_EQ(a.header.id, 7u);
  EXPECT_EQ(a.header.command, 9u);
  EXPECT_NE(a.header.error, 0u);
}

TEST_F(Protocol, VersionComesFirstAndOnce) {
  RawClient client(*server, path, false);
  EXPECT_EQ(client.request(Command::device_reset, {}).error(), EINVAL);
  EXPECT_EQ(client.map(0, 4096, memfd(4096).get()).error(), EINVAL);
  EXPECT_EQ(client.request(Command::version, bytes_of(Version{1, 0})).error(), EINVAL);
  EXPECT_EQ(client.request(Command::version, Bytes(3)).error(), EINVAL);
  EXPECT_EQ(client.request(Command::version, bytes_of(Version{0, 0}) + Bytes(5000, std::byte{'x'})).error(), EINVAL);
  EXPECT_EQ(client.version("{\"capabilities\":").error(), EINVAL);
  EXPECT_EQ(client.version("[]").error(), EINVAL);
  EXPECT_EQ(client.version("{\"capabilities\":[1]}").error(), EINVAL);
  EXPECT_EQ(client.version(std::string(3000, '[')).error(), EINVAL);
  Bytes without_nul = bytes_of(Version{0, 0}) + text("{}");
  without_nul.pop_back();
  EXPECT_EQ(client.request(Command::version, without_nul).error(), EINVAL);
  EXPECT_EQ(client.version().error(), 0);
  EXPECT_EQ(client.version().error(), EINVAL);
  EXPECT_EQ(model.resets, 0u);
}

// What QEMU 11.1 sends and what it accepts (total <= 214 bytes, minor 0, text that ends with NUL).
TEST_F(Protocol, VersionReplySuitsQemu) {
  for (const bool multi : {true, false}) {
    RawClient client(*server, path, false);
    const Answer a =
        client.version(std::string(R"({"capabilities":{"pgsizes":4096,"max_msg_fds":16,"max_dma_maps":65535,)") +
                       R"("max_data_xfer_size":1048576,"migration":{"max_bitmap_size":268435456,)" +
                       R"("pgsize":4096})" + (multi ? R"(,"write_multiple":true}})" : "}}"));
    ASSERT_EQ(a.error(), 0);
    EXPECT_LE(a.header.size, 214u);
    EXPECT_EQ(a.as<Version>().major, 0);
    EXPECT_EQ(a.as<Version>().minor, 0);
    EXPECT_EQ(a.payload.back(), std::byte{0});
    const std::string_view json(reinterpret_cast<const char*>(a.payload.data()) + 4);
    EXPECT_EQ(json.find("write_multiple") != json.npos, multi);
    EXPECT_NE(json.find("\"max_msg_fds\":16"), json.npos);
  }
  RawClient bare(*server, path, false);
  EXPECT_EQ(bare.request(Command::version, bytes_of(Version{0, 0})).error(), 0) << "text is optional";
}

TEST_F(Protocol, DescriptorsWhereNoneBelongAreRefusedAndClosed) {
  RawClient client = attach();
  const Fd a = event(), b = event();
  EXPECT_EQ(client.request(Command::device_reset, {}, {a.get()}).error(), EINVAL);
  EXPECT_EQ(client.request(Command::region_read, bytes_of(RegionAccess{0, 0, 4}), {a.get(), b.get()}).error(), EINVAL);
  EXPECT_EQ(client.request(Command::dma_map, bytes_of(DmaMap{32, 3, 0, 0, 4096}), {a.get(), b.get()}).error(), EINVAL);
  EXPECT_EQ(model.resets + model.reads, 0u);
  EXPECT_EQ(model.dma().ranges(), 0u);
}

TEST_F(Protocol, DeviceInfo) {
  RawClient client = attach();
  EXPECT_EQ(client.request(Command::device_get_info, bytes_of(DeviceInfo{15, 0, 0, 0})).error(), EINVAL);
  const auto info = client.request(Command::device_get_info, bytes_of(DeviceInfo{16, 0, 0, 0})).as<DeviceInfo>();
  EXPECT_EQ(info.argsz, 16u);
  EXPECT_EQ(info.flags, 3u) << "reset and PCI";
  EXPECT_EQ(info.num_regions, 9u);
  EXPECT_EQ(info.num_irqs, 5u);
}

TEST_F(Protocol, RegionInfoInTwoRounds) {
  RawClient client = attach();
  const auto ask = [&](std::uint32_t index, std::uint32_t argsz) {
    return client.request(Command::device_get_region_info, bytes_of(RegionInfo{argsz, 0, index, 0, 0, 0}));
  };
  EXPECT_EQ(ask(9, 32).error(), EINVAL);
  EXPECT_EQ(ask(0xffffffff, 32).error(), EINVAL);
  EXPECT_EQ(ask(0, 31).error(), EINVAL);

  for (const std::uint32_t absent : {1u, 2u, 3u, 4u, 5u, 6u, 8u}) {
    const Answer a = ask(absent, 32);
    ASSERT_EQ(a.error(), 0) << "QEMU gives up on an error here";
    const auto info = a.as<RegionInfo>();
    EXPECT_EQ(std::tuple(info.argsz, info.flags, info.size), std::tuple(32u, 0u, 0u)) << absent;
  }
  const auto config = ask(7, 32).as<RegionInfo>();
  EXPECT_EQ(std::tuple(config.argsz, config.flags, config.size), std::tuple(32u, 3u, 4096u));

  const Answer first = ask(0, 32);
  EXPECT_EQ(first.header.size, 48u) << "never more than 16 + argsz";
  EXPECT_TRUE(first.fds.empty());
  const auto brief = first.as<RegionInfo>();
  EXPECT_EQ(brief.argsz, 32u + 16 + 2 * 16);
  EXPECT_EQ(brief.flags, 7u) << "flag 8 with cap_offset 0 would end QEMU's realize";
  EXPECT_EQ(brief.cap_offset, 0u);

  EXPECT_EQ(ask(0, brief.argsz - 1).header.size, 48u) << "one byte too few is round one";
  const Answer second = ask(0, brief.argsz);
  EXPECT_EQ(second.header.size, 16 + brief.argsz);
  ASSERT_EQ(second.fds.size(), 1u);
  const auto full = second.as<RegionInfo>();
  EXPECT_EQ(std::tuple(full.argsz, full.flags, full.index, full.cap_offset, full.size, full.offset),
            std::tuple(brief.argsz, 15u, 0u, 32u, 16384u, 0u));
  const auto cap = second.as<SparseMmapCap>(32);
  EXPECT_EQ(std::tuple(cap.id, cap.version, cap.next, cap.num_areas), std::tuple(1, 1, 0u, 2u));
  EXPECT_EQ(second.as<SparseArea>(48).offset, 0x1000u);
  EXPECT_EQ(second.as<SparseArea>(64).offset, 0x2000u);
  EXPECT_EQ(second.as<SparseArea>(64).size, 0x1000u);
}

TEST_F(Protocol, ARegionIsNotOfferedForMappingToAClientThatTakesNoDescriptor) {
  RawClient client(*server, path, false);
  EXPECT_EQ(client.version(R"({"capabilities":{"max_msg_fds":0}})").error(), 0);
  const auto info =
      client.request(Command::device_get_region_info, bytes_of(RegionInfo{4096, 0, 0, 0, 0, 0})).as<RegionInfo>();
  EXPECT_EQ(info.flags, 3u);
}

TEST_F(Protocol, TrappingDevicesOfferNoMapping) {
  RawClient client(*server, trap_path);
  for (std::uint32_t i = 0; i < 9; ++i) {
    const auto info =
        client.request(Command::device_get_region_info, bytes_of(RegionInfo{4096, 0, i, 0, 0, 0})).as<RegionInfo>();
    EXPECT_EQ(info.flags & kRegionMmap, 0u) << "one such flag would make all of QEMU's writes synchronous";
  }
}

TEST_F(Protocol, IrqInfo) {
  RawClient client = attach();
  const auto ask = [&](std::uint32_t index, std::uint32_t argsz) {
    return client.request(Command::device_get_irq_info, bytes_of(IrqInfo{argsz, 0, index, 0}));
  };
  EXPECT_EQ(ask(5, 16).error(), EINVAL);
  EXPECT_EQ(ask(2, 15).error(), EINVAL);
  const std::pair<unsigned, unsigned> counts[] = {{0, 0}, {1, 0}, {2, FakeFunction::kVectors}, {3, 1}, {4, 1}};
  for (const auto& [index, count] : counts) {
    const auto info = ask(index, 16).as<IrqInfo>();
    EXPECT_EQ(std::tuple(info.argsz, info.index, info.count), std::tuple(16u, index, count));
    EXPECT_EQ(info.flags, count != 0 ? 1u : 0u) << "eventfd alone, never NORESIZE";
  }
}

TEST_F(Protocol, RegionAccessOutsideIsRefused) {
  RawClient client = attach();
  struct Row {
    std::uint32_t region;
    std::uint64_t offset;
    std::uint32_t count;
  };
  for (const Row& row :
       {Row{0, 16384, 1}, Row{0, 16381, 4}, Row{0, 0, 16385}, Row{0, 0, 0}, Row{0, UINT64_MAX, 1},
        Row{0, UINT64_MAX - 3, 8}, Row{0, 0, 0xffffffff}, Row{0, 1ull << 32, 4}, Row{1, 0, 4}, Row{6, 0, 4},
        Row{8, 0, 1}, Row{9, 0, 4}, Row{0xffffffff, 0, 4}, Row{7, 4095, 2}, Row{7, 4096, 1}}) {
    EXPECT_EQ(client.read(row.region, row.offset, row.count).error(), EINVAL) << row.region << " " << row.offset;
    const Bytes data(std::min<std::uint32_t>(row.count, 20000));
    EXPECT_EQ(
        client.request(Command::region_write, bytes_of(RegionAccess{row.offset, row.region, row.count}) + data).error(),
        EINVAL);
  }
  for (const std::uint32_t count : {3u, 5u}) {  // count and data must agree
    EXPECT_EQ(client.request(Command::region_write, bytes_of(RegionAccess{0, 0, count}) + Bytes(4)).error(), EINVAL);
  }
  EXPECT_EQ(model.reads + model.writes, 0u);
}

TEST_F(Protocol, RegionAccessOfAnySizeInside) {
  RawClient client = attach();
  for (const std::uint32_t count : {1u, 2u, 4u, 8u, 3u, 16384u}) {
    const std::uint64_t offset = FakeFunction::kBarSize - count;
    const Bytes data(count, static_cast<std::byte>(count & 0xff));
    const Answer written = client.write(0, offset, data);
    ASSERT_EQ(written.error(), 0);
    EXPECT_EQ(written.header.size, 32u);
    EXPECT_EQ(written.as<RegionAccess>().count, count);
    const Answer read = client.read(0, offset, count);
    ASSERT_EQ(read.error(), 0);
    EXPECT_EQ(read.header.size, 32 + count);
    EXPECT_EQ(Bytes(read.payload.begin() + 16, read.payload.end()), data);
  }
  EXPECT_EQ(client.read(7, 0, 4096).as<std::uint32_t>(16), 0x10ed8086u)
      << "QEMU reads configuration space in one piece";
}

TEST_F(Protocol, AClientGetsNoMoreDataThanItTakes) {
  RawClient client(*server, path, false);
  EXPECT_EQ(client.version(R"({"capabilities":{"max_data_xfer_size":64}})").error(), 0);
  EXPECT_EQ(client.read(0, 0, 64).error(), 0);
  EXPECT_EQ(client.read(0, 0, 65).error(), EINVAL);
}

TEST_F(Protocol, PostedRequestsAreNeverAnswered) {
  RawClient client = attach();
  client.post(Command::region_write, bytes_of(RegionAccess{0x20, 0, 4}) + bytes_of(std::uint32_t{0xabcd}));
  client.post(Command::region_write, bytes_of(RegionAccess{99999, 0, 4}) + bytes_of(std::uint32_t{1}));
  client.post(Command::device_reset, {});
  client.post(static_cast<Command>(77), {});
  const Answer fence = client.read(0, 0x20, 4);
  EXPECT_EQ(fence.header.command, static_cast<std::uint16_t>(Command::region_read)) << "nothing before it";
  EXPECT_EQ(fence.as<std::uint32_t>(16), 0xabcdu);
  EXPECT_EQ(model.resets, 1u);
}

TEST_F(Protocol, WriteMulti) {
  RawClient client = attach();
  const auto entry = [](std::uint64_t offset, std::uint32_t region, std::uint32_t count, std::uint8_t value) {
    WriteMultiEntry e{offset, region, count, {}};
    std::fill(std::begin(e.data), std::end(e.data), value);
    return bytes_of(e);
  };
  const auto send = [&](std::uint64_t n, const Bytes& entries) {
    return client.request(Command::region_write_multi, bytes_of(n) + entries);
  };
  EXPECT_EQ(send(2, entry(0, 0, 4, 1)).error(), EINVAL) << "fewer than announced";
  EXPECT_EQ(send(0, entry(0, 0, 4, 1)).error(), EINVAL) << "more than announced";
  EXPECT_EQ(send(UINT64_MAX / 24 + 2, entry(0, 0, 4, 1)).error(), EINVAL) << "24 n wraps around";
  EXPECT_EQ(send(1, entry(0, 0, 4, 1) + Bytes(1)).error(), EINVAL);
  EXPECT_EQ(send(2, entry(0, 0, 4, 1) + entry(0, 0, 9, 1)).error(), EINVAL);
  EXPECT_EQ(send(2, entry(0, 0, 4, 1) + entry(16383, 0, 2, 1)).error(), EINVAL);
  EXPECT_EQ(send(2, entry(0, 0, 4, 1) + entry(0, 9, 4, 1)).error(), EINVAL);
  EXPECT_EQ(model.writes, 0u) << "nothing half done";
  const Answer a = send(3, entry(0x10, 0, 4, 0x11) + entry(0x14, 0, 2, 0x22) + entry(0x10, 0, 1, 0x33));
  ASSERT_EQ(a.error(), 0);
  EXPECT_EQ(a.as<std::uint64_t>(), 3u);
  EXPECT_EQ(a.header.size, 24u);
  EXPECT_EQ(model.bar_word(0x10), 0x11111133u) << "in order";
  EXPECT_EQ(model.bar_word(0x14), 0x2222u);
  EXPECT_EQ(send(0, {}).error(), 0);
}

TEST_F(Protocol, SetIrqsRefusals) {
  RawClient client = attach();
  const Fd e = event(), not_event = memfd(4096);
  const std::uint32_t eventfds = kIrqDataEventfd | kIrqTrigger, none = kIrqDataNone | kIrqTrigger;
  struct Row {
    std::uint32_t flags, index, start, count;
    std::vector<int> fds;
  };
  const Row rows[] = {
      {eventfds, 5, 0, 1, {e.get()}},
      {eventfds, 0, 0, 1, {e.get()}},  // no INTx
      {eventfds, 1, 0, 1, {e.get()}},  // no MSI
      {eventfds, 2, FakeFunction::kVectors, 1, {e.get()}},
      {eventfds, 2, FakeFunction::kVectors + 1, 0, {}},
      {eventfds, 2, 0, FakeFunction::kVectors + 1, {}},
      {eventfds, 2, 0xffffffff, 1, {e.get()}},
      {eventfds, 2, 1, 0xffffffff, {e.get()}},
      {eventfds, 2, 0, 0, {}},
      {eventfds, 2, 0, 2, {e.get()}},  // descriptors: none or as many as vectors
      {eventfds, 2, 0, 1, {e.get(), e.get()}},
      {eventfds, 2, 0, 1, {not_event.get()}},  // a write to something else might block us
      {eventfds, 2, 0, 2, {e.get(), not_event.get()}},
      {none, 2, 0, 0, {e.get()}},
      {none, 2, 0, 1, {}},
      {none, 2, 1, 0, {}},
      {kIrqDataBool | kIrqTrigger, 2, 0, 1, {}},
      {kIrqDataNone | kIrqMask, 2, 0, 1, {}},
      {kIrqDataEventfd | kIrqDataNone | kIrqTrigger, 2, 0, 1, {e.get()}},
      {0, 2, 0, 1, {}},
      {0xffffffff, 2, 0, 1, {e.get()}},
  };
  for (const Row& row : rows) {
    EXPECT_EQ(client.set_irqs(row.flags, row.index, row.start, row.count, row.fds).error(), EINVAL)
        << "flags " << row.flags << " index " << row.index << " start " << row.start << " count " << row.count;
  }
  EXPECT_EQ(client.request(Command::device_set_irqs, bytes_of(SetIrqs{19, eventfds, 2, 0, 1}), {e.get()}).error(),
            EINVAL);
  EXPECT_EQ(model.assigned(), 0u);
}

TEST_F(Protocol, SetIrqsAssignsReplacesAndDrops) {
  RawClient client = attach();
  const std::uint32_t eventfds = kIrqDataEventfd | kIrqTrigger;
  const Fd a = event(), b = event();
  const auto reaches = [&](unsigned vector, const Fd& fd) {
    std::uint64_t one = 1, got = 0;
    EXPECT_EQ(::write(model.eventfds.at(vector).get(), &one, sizeof one), 8);
    return ::read(fd.get(), &got, sizeof got) == 8 && got == 1;
  };
  EXPECT_EQ(client.set_irqs(eventfds, 2, 0, 1).error(), 0) << "QEMU: enabled, none assigned";
  EXPECT_EQ(model.assigned(), 0u);
  EXPECT_EQ(client.set_irqs(eventfds, 2, 18, 2, {a.get(), b.get()}).error(), 0);
  EXPECT_TRUE(reaches(18, a));
  EXPECT_TRUE(reaches(19, b));
  EXPECT_EQ(client.set_irqs(eventfds, 2, 18, 1, {b.get()}).error(), 0);
  EXPECT_TRUE(reaches(18, b));
  EXPECT_EQ(client.set_irqs(eventfds, 2, 18, 1).error(), 0);
  EXPECT_EQ(model.assigned(), 1u);
  EXPECT_EQ(client.request(Command::device_reset, {}).error(), 0);
  EXPECT_EQ(model.assigned(), 1u) << "eventfds survive a reset";
  EXPECT_EQ(client.set_irqs(eventfds, 3, 0, 1, {a.get()}).error(), 0) << "QEMU gives one for errors";
  EXPECT_EQ(client.set_irqs(kIrqDataNone | kIrqTrigger, 3, 0, 0).error(), 0);
  EXPECT_EQ(client.set_irqs(kIrqDataNone | kIrqTrigger, 2, 0, 0).error(), 0);
  EXPECT_EQ(model.assigned(), 0u);
}

TEST_F(Protocol, AnEventfdNeverBlocksTheDevice) {
  RawClient client = attach();
  const Fd blocking = event();
  EXPECT_EQ(client.set_irqs(kIrqDataEventfd | kIrqTrigger, 2, 0, 1, {blocking.get()}).error(), 0);
  std::uint64_t nearly_full = UINT64_MAX - 1, one = 1;
  ASSERT_EQ(::write(blocking.get(), &nearly_full, 8), 8);
  EXPECT_EQ(::write(model.eventfds.at(0).get(), &one, 8), -1) << "would have blocked";
}

TEST_F(Protocol, DmaMapRefusals) {
  RawClient client = attach();
  const Fd file = memfd(8192);
  const Fd event_fd = event();
  Fd pipe_ends[2];
  int raw[2];
  ASSERT_EQ(::pipe(raw), 0);
  pipe_ends[0] = Fd(raw[0]);
  pipe_ends[1] = Fd(raw[1]);
  const int f = file.get();
  EXPECT_EQ(client.map(0, 4096, f, 0, 0).error(), EINVAL) << "no right";
  EXPECT_EQ(client.map(0, 4096, f, 0, 4).error(), EINVAL) << "unknown right";
  EXPECT_EQ(client.map(0, 0, f).error(), EINVAL);
  EXPECT_EQ(client.map(1, 4096, f).error(), EINVAL);
  EXPECT_EQ(client.map(0, 4095, f).error(), EINVAL);
  EXPECT_EQ(client.map(0, 4096, f, 12).error(), EINVAL);
  EXPECT_EQ(client.map(0, 12288, f).error(), EINVAL) << "beyond the file";
  EXPECT_EQ(client.map(0, 8192, f, 4096).error(), EINVAL);
  EXPECT_EQ(client.map(0, 4096, f, UINT64_MAX - 4095).error(), EINVAL);
  EXPECT_EQ(client.map(UINT64_MAX - 4095, 8192, f).error(), EINVAL) << "wraps";
  EXPECT_EQ(client.map(0, 4096, event_fd.get()).error(), EINVAL);
  EXPECT_EQ(client.map(0, 4096, pipe_ends[0].get()).error(), EINVAL);
  EXPECT_EQ(client.request(Command::dma_map, bytes_of(DmaMap{31, 3, 0, 0, 4096}), {f}).error(), EINVAL);
  EXPECT_EQ(model.dma().ranges(), 0u);
  EXPECT_EQ(client.map(0x10000, 8192, f).error(), 0);
  EXPECT_EQ(client.map(0xf000, 8192, f).error(), EINVAL) << "overlaps";
  EXPECT_EQ(client.map(0x11000, 4096, f).error(), EINVAL);
  EXPECT_EQ(client.map(0, 0x20000, -1).error(), EINVAL);
  EXPECT_EQ(client.unmap(0x10000, 4096).error(), EINVAL) << "would cut";
  EXPECT_EQ(client.unmap(0x10000, 0).error(), EINVAL);
  EXPECT_EQ(client.unmap(0, 4096, 1).error(), EINVAL) << "dirty bitmaps are not for us";
  EXPECT_EQ(client.unmap(4096, 4096, kUnmapAll).error(), EINVAL);
  EXPECT_EQ(model.dma().ranges(), 1u);
}

TEST_F(Protocol, DmaMapAndUnmapAsQemuDoesIt) {
  RawClient client = attach();
  const Fd ram = memfd(1u << 20);
  EXPECT_EQ(client.map(0, 0xa0000, ram.get()).error(), 0);
  EXPECT_EQ(client.map(0xc0000, 0x10000, ram.get(), 0xc0000, kDmaRead).error(), 0) << "read-only with a file";
  EXPECT_EQ(client.map(0xfffc0000, 0x40000, -1, 0, kDmaRead).error(), 0) << "firmware without a file";
  EXPECT_NE(model.dma().translate(hw::Iova{0x9fff0}, 16, true), nullptr);
  EXPECT_EQ(model.dma().translate(hw::Iova{0xc0000}, 16, true), nullptr);
  EXPECT_NE(model.dma().translate(hw::Iova{0xc0000}, 16, false), nullptr);
  EXPECT_EQ(model.dma().translate(hw::Iova{0xfffc0000}, 16, false), nullptr);
  const unsigned changes = model.dma_changes;
  const Answer a = client.unmap(0, 1ull << 39);
  EXPECT_EQ(a.error(), 0) << "a huge one that covers several";
  EXPECT_EQ(a.header.size, 40u);
  EXPECT_EQ(a.as<DmaUnmap>().size, 1ull << 39);
  EXPECT_GT(model.dma_changes, changes) << "told before";
  EXPECT_EQ(model.dma().ranges(), 0u);
  EXPECT_EQ(client.unmap(0, 1u << 20).error(), 0) << "one that matches nothing";
  EXPECT_EQ(client.map(0, 0x1000, ram.get()).error(), 0);
  EXPECT_EQ(client.unmap(0, 0, kUnmapAll).error(), 0);
  EXPECT_EQ(model.dma().translate(hw::Iova{0}, 1, false), nullptr);
}

TEST_F(Protocol, PipelinedRequestsAreAnsweredInOrder) {
  RawClient client = attach();
  const Fd ram = memfd(1u << 20);
  for (std::uint16_t i = 0; i < 10; ++i) {  // ids skip numbers, as QEMU's do
    const std::uint64_t at = i * 0x1000u;
    ASSERT_TRUE(
        client.send(bytes_of(RawClient::header(Command::dma_map, 32, kRequest, static_cast<std::uint16_t>(3 * i))) +
                        bytes_of(DmaMap{32, 3, at, at, 0x1000}),
                    {ram.get()}));
  }
  for (std::uint16_t i = 0; i < 10; ++i) {
    const Answer a = client.receive();
    EXPECT_EQ(a.error(), 0);
    EXPECT_EQ(a.header.id, 3 * i);
    EXPECT_EQ(a.header.size, 16u);
  }
  EXPECT_EQ(model.dma().ranges(), 10u);
}

}  // namespace
}  // namespace vigia::softnic::test
