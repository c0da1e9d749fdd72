// The whole public API on one screen.
export { Channel, type ChannelOptions } from './lib/api/channel.js';
export { ChannelPort, type ChannelWaitOptions } from './lib/api/channel-port.js';
export { defineConfig, type ServeConfig, type ServeConfigSource } from './lib/api/config.js';
export { type DiagnosedLimits, type Diagnosis, doctor, type Finding } from './lib/api/doctor.js';
export { ERROR_CODES, type ErrorCode, RingwheelError, type SystemError } from './lib/api/errors.js';
export type {
  ExecutorCloseEvent,
  ExecutorStartEvent,
  FileCloseEvent,
  FileOpenEvent,
  RingwheelEvents,
  RouteErrorEvent,
  ServerCloseEvent,
  ServerReloadEvent,
  ServerStartEvent,
  StallReport,
} from './lib/api/events.js';
export { Executor, type ExecutorStats } from './lib/api/executor.js';
export {
  ExecutorPool,
  type PoolCloseOptions,
  type PoolMemberStats,
  type PoolOptions,
} from './lib/api/executor-pool.js';
export { File } from './lib/api/file.js';
export type { ReadableOptions, ReadableStreamOptions } from './lib/api/file-readable.js';
export {
  type AnswerLatency,
  type CoreStats,
  FileServer,
  type ServerCloseOptions,
  type ServerStats,
} from './lib/api/file-server.js';
export type { Advice, AllocateOptions } from './lib/api/file-space.js';
export type { StreamOptions } from './lib/api/file-stream.js';
export type { VectorOptions, VectorPart } from './lib/api/file-vectored.js';
export type { WritableChunk, WritableOptions, WritableStreamOptions } from './lib/api/file-writable.js';
export { Event, type EventWaitOptions, Gate } from './lib/api/gate.js';
export { interval } from './lib/api/interval.js';
export type { LatencyBucket, LatencySummary, OperationKind, QueueLatencies } from './lib/api/latency.js';
export { Lease } from './lib/api/lease.js';
export { Mesh, type MeshMemberOptions, type MeshMessage, type MeshOptions } from './lib/api/mesh.js';
export type {
  AdaptiveOptions,
  ExecutorOptions,
  LatencyOptions,
  OpenOptions,
  QueuesOptions,
  ReadManyOptions,
  SignalOptions,
  SleepOptions,
  SqpollOptions,
  StallOptions,
  TaskQueueOptions,
  TimeoutOptions,
  TimerOptions,
  TransferOptions,
} from './lib/api/options.js';
export type { CpuFilter, CustomPlacement, FilteredPlacement, FixedPlacement, Placement } from './lib/api/placement.js';
export { TaskQueue } from './lib/api/queue.js';
export type { QueueStats } from './lib/api/queue-stats.js';
export { ReadBatch } from './lib/api/read-batch.js';
export type { ReadRange } from './lib/api/read-plan.js';
export type { ReadFileOptions } from './lib/api/read-whole.js';
export type { RouteContext, RouteHandler } from './lib/api/route.js';
export { RouteResponse } from './lib/api/route-response.js';
export { type LockOptions, RwLock } from './lib/api/rwlock.js';
export { type AcquireOptions, type Guard, Permit, Semaphore } from './lib/api/semaphore.js';
export { SequentialWriter, type WriterOptions } from './lib/api/sequential-writer.js';
export type {
  AccessLogOptions,
  BasicAuthOptions,
  FileServerOptions,
  RedirectOptions,
  RewriteOptions,
  ServerAdminOptions,
  ServerCacheOptions,
  ServerCompressOptions,
  ServerCorsOptions,
  ServerLimits,
  ServerTlsOptions,
  SiteOptions,
  UnixSocketOptions,
  VirtualHostOptions,
} from './lib/api/server-options.js';
export { Stats } from './lib/api/stats.js';
export { deadline, timeout } from './lib/api/timeout.js';
export { sleep, sleepUntil, Timer } from './lib/api/timer.js';
export {
  type Cache,
  type Cpu,
  type CpuCore,
  type CpuLimits,
  type CpuPackage,
  type CpuQuota,
  type Cpuset,
  type NumaNode,
  type Topology,
  topology,
} from './lib/api/topology.js';
export {
  type CopyFileOptions,
  copyFile,
  readFile,
  type WriteFileAtomicOptions,
  writeFileAtomic,
} from './lib/api/whole-file.js';
export type { AdaptiveStats } from './lib/wire/binding.js';
