/** `npm run campaign:rotate -- --fleet N --kills K --seed S` */
import { play } from "./play.mjs";

await play("rotate");
