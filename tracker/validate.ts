// What comes from another machine is checked before it becomes a member.
import { isIP } from 'node:net';
import { PROTOCOL_VERSION } from '../node/limits.ts';
import { protocolsOf } from '../node/wire/protocol.ts';
import type { Announcement, Member, MemberChange, Vitals } from './protocol.ts';

const TEXT_MAX = 255;
const ARCHIVES_MAX = 1000;

type Fields = Record<string, unknown>;

/**
 * The announcement in `value`, or one line saying what is wrong with it. `own`: the newest protocol
 * that this tracker speaks.
 */
export function parseAnnouncement(value: unknown, own = PROTOCOL_VERSION): Announcement | string {
  if (!isFields(value)) return 'an announcement is a JSON object';
  const protocol = protocolsOf(own).find((version) => version === value.protocol);
  if (protocol === undefined) {
    return (
      `this tracker speaks protocol ${protocolsOf(own).join(' and ')}, ` +
      `the node ${String(value.protocol)}: ` +
      'install the same version of debherd on both'
    );
  }
  const member = parseMember(value.member);
  if (member === undefined) {
    const wrong = isFields(value.member) ? wrongField(value.member) : 'member';
    return `the announcement describes no valid member: ${wrong} is missing or wrong`;
  }
  return { protocol, member, vitals: parseVitals(value.vitals) };
}

const memberFields: { readonly [key in keyof Member]: (value: unknown) => boolean } = {
  id: (value) => typeof value === 'string' && /^[0-9a-f]{40}$/.test(value),
  name: isText,
  address: (value) => value === '' || (typeof value === 'string' && isIP(value) !== 0),
  port: (value) => isCount(value) && value > 0 && value <= 65535,
  version: isText,
  protocol: isCount,
  upstream: (value) => typeof value === 'boolean',
  archives: (value) => Array.isArray(value) && value.length <= ARCHIVES_MAX && value.every(isText),
  epoch: isCount,
};
const memberKeys = Object.keys(memberFields) as (keyof Member)[];

/** The member in `value` with nothing but the known fields, or undefined. */
export function parseMember(value: unknown): Member | undefined {
  if (!isFields(value) || wrongField(value) !== undefined) return undefined;
  const { id, name, address, port, version, protocol, upstream, archives, epoch } =
    value as unknown as Member;
  return { id, name, address, port, version, protocol, upstream, archives, epoch };
}

/** The first field that keeps `value` from being a member. */
function wrongField(value: Fields): keyof Member | undefined {
  return memberKeys.find((key) => !memberFields[key](value[key]));
}

/** The change in `value`, or undefined. Members that are not valid are left out. */
export function parseChange(value: unknown): MemberChange | undefined {
  if (!isFields(value)) return undefined;
  const { tracker, view, full, joined, left } = value;
  if (typeof tracker !== 'string' || !isCount(view) || typeof full !== 'boolean') return undefined;
  if (!Array.isArray(joined) || !Array.isArray(left)) return undefined;
  return {
    tracker,
    view,
    full,
    joined: joined.map(parseMember).filter((member) => member !== undefined),
    left: left.filter((id) => typeof id === 'string'),
  };
}

function parseVitals(value: unknown): Vitals {
  const fields = isFields(value) ? value : {};
  const counters = isFields(fields.counters) ? fields.counters : {};
  const numbers = Object.entries(counters).filter(([, amount]) => typeof amount === 'number');
  return {
    load: amountOf(fields.load),
    objects: amountOf(fields.objects),
    bytes: amountOf(fields.bytes),
    counters: Object.fromEntries(numbers.slice(0, 100)) as Record<string, number>,
  };
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value.length <= TEXT_MAX;
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function amountOf(value: unknown): number {
  return typeof value === 'number' && Number.isFinite(value) ? value : 0;
}
