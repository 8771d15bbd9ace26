/** Traces as a picture: `-o svg`, and `-o html` with the walk beside it. Loaded only when one of them is asked for: it brings a layout library. */
import { type Flow, type Network, printFlow, reportTrace, type Trace } from '../../simulate/index.ts';
import { drawPage } from './html.ts';
import { layOut } from './layout.ts';
import { type Drawn, drawPicture } from './picture.ts';
import { sceneOf } from './stage.ts';

export type DrawingFormat = 'svg' | 'html';

/** One text, whole: an SVG or an HTML document that needs nothing else. The same traces give the same text. */
export function drawTraces(
  format: DrawingFormat,
  { network, flow, traces }: { readonly network: Network; readonly flow: Flow; readonly traces: readonly Trace[] },
): string {
  const drawn = traces.map((trace): Drawn => {
    const scene = sceneOf(network, flow, trace);
    return { scene, layout: layOut(scene), report: reportTrace(trace) };
  });
  const question = printFlow(flow);
  return format === 'svg' ? drawPicture(question, drawn) : drawPage(question, drawn);
}
