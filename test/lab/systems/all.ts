// The systems that the lab compares.
import type { System } from '../run.ts';
import { aptCacherNg } from './apt-cacher-ng.ts';
import { debherd } from './debherd.ts';
import { direct } from './direct.ts';
import { nginx } from './nginx.ts';
import { squid } from './squid.ts';

export const systems: readonly System[] = [debherd, aptCacherNg, nginx, squid, direct];
