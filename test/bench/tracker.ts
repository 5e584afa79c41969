// `node test/bench/tracker.ts [members]`: what a whole fleet joining costs, tracker and members in
// one process; then what it costs when nothing happens.
import { setTimeout as wait } from 'node:timers/promises';
import { memberFixture } from '../fixtures/members.ts';
import { followerFixture, trackerFixture } from '../fixtures/tracker.ts';

const count = Number(process.argv[2] ?? 60);
const cpuMs = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
};

const tracker = await trackerFixture();
const [cpu, started] = [cpuMs(), performance.now()];
const followers = Array.from({ length: count }, (_, n) =>
  followerFixture(tracker.url, memberFixture(n + 1)),
);
for (const { client } of followers) client.start();
await Promise.all(followers.map(({ until, list }) => until(() => list().length === count)));
const messages = followers.reduce((sum, { changes }) => sum + changes.length, 0) / count;
console.log(
  `${count} members know each other after ${(performance.now() - started).toFixed(0)} ms, ` +
    `${((cpuMs() - cpu) / count).toFixed(1)} ms CPU and ${messages.toFixed(1)} changes each`,
);
const idle = cpuMs();
await wait(60_000);
const share = ((cpuMs() - idle) / 60_000) * 100;
console.log(`idle: ${share.toFixed(3)} % of a core for tracker and members together`);
await Promise.all(followers.map(({ client }) => client.close()));
await tracker.close();
