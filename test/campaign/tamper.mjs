/** `npm run campaign:tamper -- --count N --seed S --size ENTRIES` */
import { play } from "./play.mjs";

await play("tamper");
