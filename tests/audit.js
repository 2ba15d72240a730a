// What keeps somebody from reading or using a page as it stands: names, labels, order, contrast, width.
() => {
  const found = [];
  const shown = (one) => one.checkVisibility({ visibilityProperty: true }) && !one.closest('[aria-hidden=true]');
  const what = (one) => `${one.tagName.toLowerCase()}#${one.id}.${one.getAttribute('class') ?? ''} "${one.textContent.trim().slice(0, 30)}"`;

  if (!document.documentElement.lang) found.push('the page has no language');
  if (!document.title) found.push('the page has no title');
  if (document.querySelectorAll('main').length !== 1) found.push('there is not one main part');
  const ids = [...document.querySelectorAll('[id]')].map((one) => one.id);
  for (const id of new Set(ids)) if (ids.filter((one) => one === id).length > 1) found.push(`id twice: ${id}`);
  for (const name of ['aria-labelledby', 'aria-describedby', 'aria-controls'])
    for (const one of document.querySelectorAll(`[${name}]`))
      for (const id of one.getAttribute(name).split(' ')) if (!document.getElementById(id)) found.push(`${name} of nothing: ${id}`);

  const named = (one) => one.getAttribute('aria-label') || one.title || one.innerText?.trim()
    || (one.getAttribute('aria-labelledby') ?? '').split(' ').map((id) => document.getElementById(id)?.textContent ?? '').join('')
    || [...(one.labels ?? [])].map((label) => label.textContent.trim()).join('');
  for (const one of document.querySelectorAll('button, a[href], input, select, summary, [role=region], [role=img], [role=switch], dialog[open], nav'))
    if (shown(one) && !named(one)) found.push(`without a name: ${what(one)}`);
  for (const one of document.querySelectorAll('th')) if (!one.scope) found.push(`a head without scope: ${what(one)}`);
  for (const one of document.querySelectorAll('*'))
    if (one.tabIndex > 0) found.push(`an order of its own: ${what(one)}`);
    else if (one.scrollWidth > one.clientWidth + 1 && ['auto', 'scroll'].includes(getComputedStyle(one).overflowX) && shown(one)
             && one.tabIndex < 0 && !one.querySelector('button, a[href]')) found.push(`cannot be scrolled by keyboard: ${what(one)}`);
  let level = 0;
  for (const one of document.querySelectorAll('h1, h2, h3, h4')) {
    if (!shown(one) || one.closest('dialog:not([open])')) continue;
    if (Number(one.tagName[1]) > level + 1 && level) found.push(`a heading too deep: ${what(one)}`);
    level = Number(one.tagName[1]);
  }
  if (document.documentElement.scrollWidth > innerWidth + 1) found.push('the page is wider than the window');

  const parsed = (text) => text.match(/[\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((one) => one / 255)
    .map((one) => one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4)
    .reduce((sum, one, index) => sum + one * [0.2126, 0.7152, 0.0722][index], 0);
  const ground = (one) => {
    for (let at = one; at; at = at.parentElement) {
      const colour = parsed(getComputedStyle(at).backgroundColor);
      if (colour.length < 4 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  for (const one of document.querySelectorAll('body *')) {
    const own = [...one.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
    if (!own || !shown(one) || one.disabled || one.closest('svg, option, noscript') || one.closest('dialog:not([open])')) continue;
    const [ink, paper] = [light(parsed(getComputedStyle(one).color)), light(ground(one))];
    const contrast = (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
    if (contrast < 4.5) found.push(`contrast of ${contrast.toFixed(2)}: ${what(one)}`);
  }
  return [...new Set(found)];
}
